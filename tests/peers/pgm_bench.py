"""power-grid-model's side of `cargo xtask bench solver`.

Loads what it is told on standard input, one JSON object a line, solves it, and answers with the time
its own thread was on the processor. The time is that of one batch calculation in the calling
thread, divided by the number of scenarios.
"""

import time
from pathlib import Path

import numpy as np
from power_grid_model import CalculationMethod, PowerGridModel
from power_grid_model.utils import json_deserialize_from_file, json_serialize
from bench_loop import serve

# Scenarios of an estimation that are judged.
JUDGED = 2


class Case:
    def __init__(self, command):
        self.input = json_deserialize_from_file(Path(command["input"]))
        self.model = PowerGridModel(self.input)
        self.update = json_deserialize_from_file(Path(command["update"]))
        self.count = len(next(iter(self.update.values())))
        calculation = command["calculation"]
        self.estimates = calculation == "state_estimation"
        self.calculate = getattr(self.model, f"calculate_{calculation}")
        self.arguments = {
            "symmetric": not command["asymmetric"],
            "error_tolerance": command["tolerance"],
            "max_iterations": 200,
            "calculation_method": CalculationMethod[command["method"]],
            "threading": -1,
        }
        if self.estimates:
            # Residuals of sensors are not put out on the other side either.
            components = [str(getattr(c, "value", c)) for c in self.input]
            self.arguments["output_component_types"] = [
                c for c in components if not c.endswith("_sensor")
            ]

    def solve(self):
        return self.calculate(update_data=self.update, **self.arguments)


def voltages(output):
    """Of each scenario, each node, each phase: magnitude, pu, and angle, rad."""
    node = output["node"]
    return np.stack([node["u_pu"], node["u_angle"]], axis=-1)


def obey(command, cases):
    match command["do"]:
        case "load":
            cases.append(Case(command))
            return {"case": len(cases) - 1}
        case "forget":
            cases.clear()
            return {}
        case "answer":
            chosen = cases[command["case"]]
            output = chosen.solve()
            if chosen.estimates:
                first = {component: rows[:JUDGED] for component, rows in output.items()}
                kind = "asym_output" if command["asymmetric"] else "sym_output"
                Path(command["file"]).write_text(json_serialize(first, dataset_type=kind))
                return {}
            voltages(output).astype("<f8").tofile(command["file"])
            return {"scenarios": chosen.count}
        case "sample":
            chosen = cases[command["case"]]
            start = time.thread_time()
            chosen.solve()
            return {"seconds": (time.thread_time() - start) / chosen.count}
    raise ValueError(command)


serve(obey)
