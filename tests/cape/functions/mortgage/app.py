"""Whether an applicant qualifies: JSON in, a sentence out."""

import json


def cape_handler(input_bytes):
    applicant = json.loads(input_bytes)
    debt_to_income = applicant["monthly_debts"] / applicant["monthly_income"]
    if applicant["credit_score"] >= 620 and debt_to_income <= 0.43:
        return "Congratulations! You qualify for a mortgage."
    return "Sorry! You do not qualify for a mortgage."
