"""Whether an applicant qualifies for a mortgage: JSON with `salary`, `amount` and `down` in, a sentence out."""

import json


def cape_handler(input_bytes):
    applicant = json.loads(input_bytes)
    amount = applicant["amount"]
    if applicant["down"] >= amount:
        return "You do not need a mortgage."
    if applicant["down"] < 0.05 * amount or applicant["salary"] < 0.1 * amount:
        return "You do not qualify for a mortgage."
    return "Congratulations! You qualify for a mortgage."
