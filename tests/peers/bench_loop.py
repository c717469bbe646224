"""The peers' side of a bench: a command a line, an answer a line, both JSON."""

import json
import sys


def serve(obey):
    """Answers with `obey(command, cases)` until the input ends."""
    cases = []
    for line in sys.stdin:
        try:
            answer = obey(json.loads(line), cases)
        except Exception as error:  # Told to the bench, which knows what failed.
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
