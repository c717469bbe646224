"""pandapower's optimal power flow and jsonschema for tests/peers_market.rs: one question a line in,
one answer a line out.

In: {"optimum": {"network": {...}, "case": {...}}}, a network of power-grid-model's JSON (nodes, lines, one
ideal source) and a market case with one order of one step a unit.
Out: {"cost_per_h": ..., "p_per_mwh": [...], "q_per_mvarh": [...], "u_pu": [...], "loading": ...} by node, or
{"not_converged": "..."}.
In: {"schema": {...}, "document": {...}}. Out: {"problems": [...]}.
"""

import json
import math
import sys
import warnings

import jsonschema
import pandapower as pp

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


def validate(question):
    jsonschema.Draft202012Validator.check_schema(question["schema"])
    validator = jsonschema.Draft202012Validator(question["schema"])
    return {"problems": [error.message for error in validator.iter_errors(question["document"])]}


for line in sys.stdin:
    question = json.loads(line)
    said = optimum(question["optimum"]) if "optimum" in question else validate(question)
    print(json.dumps(said), flush=True)
