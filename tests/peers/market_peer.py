"""pandapower's optimal power flow and jsonschema for tests/peers_market.rs: one question a line in,
one answer a line out.

In: {"optimum": {"network": {...}, "case": {...}}}, a network of power-grid-model's JSON (nodes, lines, one
ideal source) and a market case with one order of one step a unit.
Out: {"cost_per_h": ..., "p_per_mwh": [...], "q_per_mvarh": [...], "u_pu": [...], "loading": ...} by node, or
{"not_converged": "..."}.
In: {"horizon": {...}}, stores and windows at one node without limits or losses, powers in MW, energies in
MWh (see `horizon`). Out: {"cost": ...}, by HiGHS.
In: {"schema": {...}, "document": {...}}. Out: {"problems": [...]}.
"""

import json
import math
import sys
import warnings

import jsonschema
import numpy as np
import pandapower as pp
from scipy.optimize import linprog

warnings.filterwarnings("ignore")


def network(data, case):
    net = pp.create_empty_network(f_hz=50.0)
    limits = case["limits"]
    bus = {}
    for node in data["node"]:
        bus[node["id"]] = pp.create_bus(
            net, node["u_rated"] / 1e3, min_vm_pu=limits["u_min_pu"], max_vm_pu=limits["u_max_pu"]
        )
    for line in data["line"]:
        pp.create_line_from_parameters(
            net, bus[line["from_node"]], bus[line["to_node"]], 1.0,
            line["r1"], line["x1"], line["c1"] * 1e9, line["i_n"] / 1e3, max_loading_percent=100.0,
        )
    (source,) = data["source"]
    (interface,) = case["interface"]
    assert interface["import_price"] == interface["export_price"]
    grid = pp.create_ext_grid(net, bus[source["node"]], vm_pu=source["u_ref"])
    pp.create_poly_cost(net, grid, "ext_grid", cp1_eur_per_mw=interface["import_price"] / 1e6)
    for fixed in case["fixed"]:
        pp.create_load(net, bus[fixed["node"]], -fixed["p_w"] / 1e6, -fixed["q_var"] / 1e6)
    for unit in case["units"]:
        able = unit["capability"]
        (order,) = [order for order in case["orders"] if order["unit"] == unit["id"]]
        (step,) = order["steps"]
        quantity = step["quantity_w"] / 1e6
        low, high = (0.0, quantity) if order["direction"] == "sell" else (-quantity, 0.0)
        q_max = able["q_max_var"] / 1e6
        gen = pp.create_sgen(
            net, bus[unit["node"]], 0.0, controllable=True,
            min_p_mw=low, max_p_mw=high, min_q_mvar=-q_max, max_q_mvar=q_max,
        )
        pp.create_poly_cost(net, gen, "sgen", cp1_eur_per_mw=step["price"] / 1e6)
    return net


def optimum(question):
    net = network(question["network"]["data"], question["case"])
    for init in ("flat", "pf"):
        try:
            pp.runopp(net, init=init, delta=1e-12, numba=False)
        except Exception as error:  # It says so in several ways.
            said = {"not_converged": f"{type(error).__name__}: {error}"}
            continue
        said = {
            "cost_per_h": float(net.res_cost),
            "p_per_mwh": [float(x) for x in net.res_bus.lam_p],
            "q_per_mvarh": [float(x) for x in net.res_bus.lam_q],
            "u_pu": [float(x) for x in net.res_bus.vm_pu],
            "loading": float(net.res_line.loading_percent.max()) / 100,
        }
        if all(math.isfinite(x) for x in said["p_per_mwh"]):
            return said
    return said


def horizon(question):
    """Least cost of serving load from the grid above, orders, stores and windows."""
    hours, load = question["hours"], question["load"]
    cost, bounds = [], []
    balance = [{} for _ in load]  # variable -> power injected
    equal, most = [], []

    def variable(price, low, high, t=None, sign=0.0):
        cost.append(price)
        bounds.append((low, high))
        if t is not None:
            balance[t][len(cost) - 1] = sign
        return len(cost) - 1

    for t, hour in enumerate(hours):
        variable(question["import"][t] * hour, 0, None, t, 1.0)
        variable(-question["export"][t] * hour, 0, None, t, -1.0)
    for order in question["orders"]:
        t, sign = order["interval"], order["sign"]
        variable(sign * order["price"] * hours[t], 0, order["power"], t, sign)
    for store in question["stores"]:
        before = None
        for t, hour in enumerate(hours):
            taken = variable(0.0, 0, store["take"], t, -1.0)
            given = variable(store["wear"] * hour, 0, store["give"], t, 1.0)
            end = -store["end_value"] if t == len(hours) - 1 else 0.0
            energy = variable(end, store["energy_min"], store["energy_max"])
            row = {energy: 1.0, taken: -store["charge"] * hour, given: hour / store["discharge"]}
            if before is not None:
                row[before] = -1.0
            equal.append((row, store["energy"] if before is None else 0.0))
            before = energy
    for window in question["windows"]:
        row = {}
        for t in range(window["first"], window["last"] + 1):
            power = variable(
                window["sign"] * window["price"] * hours[t], 0, window["power"], t, window["sign"]
            )
            row[power] = hours[t]
        most.append((row, window["energy"]))
    equal += [(row, load[t]) for t, row in enumerate(balance)]

    def matrix(rows):
        a = np.zeros((len(rows), len(cost)))
        for k, (row, _) in enumerate(rows):
            for column, value in row.items():
                a[k, column] = value
        return (a, [b for _, b in rows]) if rows else (None, None)

    a_eq, b_eq = matrix(equal)
    a_ub, b_ub = matrix(most)
    found = linprog(cost, a_ub, b_ub, a_eq, b_eq, bounds, method="highs")
    return {"cost": float(found.fun)} if found.success else {"failed": found.message}


def validate(question):
    jsonschema.Draft202012Validator.check_schema(question["schema"])
    validator = jsonschema.Draft202012Validator(question["schema"])
    return {"problems": [error.message for error in validator.iter_errors(question["document"])]}


for line in sys.stdin:
    question = json.loads(line)
    if "optimum" in question:
        said = optimum(question["optimum"])
    elif "horizon" in question:
        said = horizon(question["horizon"])
    else:
        said = validate(question)
    print(json.dumps(said), flush=True)
