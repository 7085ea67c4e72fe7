"""The first input of a connection hides a place, in a file; each further one says how far a guess is off."""

import json
from pathlib import Path

from geopy import distance

SECRET = Path("secret.json")


def cape_handler(input_bytes):
    place = json.loads(input_bytes)
    if not SECRET.exists():
        SECRET.write_text(json.dumps(place))
        return None
    hidden = json.loads(SECRET.read_text())
    metres = distance.distance(
        (hidden["latitude"], hidden["longitude"]), (place["latitude"], place["longitude"])
    ).meters
    if metres < 100:
        return "Congrats, you found it!"
    if metres < 10_000:
        return f"Getting closer! still {metres:.0f} meters away"
    return "Not even close!"
