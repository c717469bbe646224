"""power-grid-model for tests/peers_pgm.rs: one calculation a line in, its output a line out.

In: {"calculation": "power_flow", "symmetric": true, "method": "newton_raphson", "tolerance": 1e-12,
"input": "...", "update": "..."}, the data sets as text; without "update" there is one scenario, the input
as it is. Out: {"output": {...}, "failed": {"0": "..."}},
the output data set, and the scenarios without a solution; or {"error": "..."}.
"""

import json
import sys

from power_grid_model import CalculationMethod, PowerGridModel
from power_grid_model.errors import PowerGridError
from power_grid_model.utils import json_deserialize, json_serialize


def answer(question):
    model = PowerGridModel(json_deserialize(question["input"]))
    dataset = "sym_output" if question["symmetric"] else "asym_output"
    options = {
        "symmetric": question["symmetric"],
        "calculation_method": CalculationMethod[question["method"]],
        "error_tolerance": question["tolerance"],
        "max_iterations": 100,
    }
    calculate = getattr(model, f"calculate_{question['calculation']}")
    if "update" not in question:
        try:
            output = calculate(**options)
        except PowerGridError as error:
            return {"output": [{}], "failed": {"0": str(error)}}
        return {"output": [json.loads(json_serialize(output, dataset_type=dataset))["data"]], "failed": {}}
    output = calculate(
        **options,
        update_data=json_deserialize(question["update"]),
        threading=-1,
        continue_on_batch_error=True,
    )
    failed = {}
    if model.batch_error is not None:
        errors = model.batch_error
        failed = dict(zip(map(str, errors.failed_scenarios), errors.error_messages))
    data = json.loads(json_serialize(output, dataset_type=dataset))["data"]
    return {"output": data, "failed": failed}


for line in sys.stdin:
    try:
        said = answer(json.loads(line))
    except PowerGridError as error:  # What it refuses is part of the comparison.
        said = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(said), flush=True)
