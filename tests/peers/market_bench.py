"""The peers' side of `cargo xtask bench market`: HiGHS on the plain linearised problem, pandapower's AC
optimal power flow on the CIGRE network.

Loads what it is told on standard input, one JSON object a line, solves it, and answers with the time
its process was on the processor. Writing the problem is not counted, only solving it, cold.

The linear problem of a case is LinDistFlow (Baran and Wu, 1989) of a radial network, as sparse as it is: for each line
active and reactive power at its sending end, for each node its squared voltage, for each order its quantity,
for each unit its reactive power, for the grid above import and export.
Balances, voltage drops; line ratings as polygons of `SIDES` sides around the circle at rated voltage.
"""

import json
import math
import time
import warnings

import highspy
import numpy as np
import pandapower as pp
import pandapower.networks
from bench_loop import serve

warnings.filterwarnings("ignore")

SIDES = 8
MW = 1e6


class Rows:
    """Columns and rows of a linear programme as they grow."""

    def __init__(self):
        self.cost, self.low, self.high = [], [], []
        self.row_low, self.row_high = [], []
        self.start, self.index, self.value = [0], [], []

    def variable(self, low, high, cost=0.0):
        self.cost.append(cost)
        self.low.append(low)
        self.high.append(high)
        return len(self.cost) - 1

    def row(self, low, high, terms):
        self.row_low.append(low)
        self.row_high.append(high)
        for column, value in terms:
            self.index.append(column)
            self.value.append(value)
        self.start.append(len(self.index))

    def lp(self):
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = len(self.cost), len(self.row_low)
        lp.col_cost_ = np.array(self.cost)
        lp.col_lower_, lp.col_upper_ = np.array(self.low), np.array(self.high)
        lp.row_lower_, lp.row_upper_ = np.array(self.row_low), np.array(self.row_high)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.array(self.start, dtype=np.int32)
        lp.a_matrix_.index_ = np.array(self.index, dtype=np.int32)
        lp.a_matrix_.value_ = np.array(self.value)
        return lp


def linearised(file):
    """Powers in MW, squared voltages in pu."""
    data, case = file["network"]["data"], file["case"]
    (source,), (interface,) = data["source"], case["interface"]
    u_rated = {node["id"]: node["u_rated"] for node in data["node"]}
    rows = Rows()
    low, high = case["limits"]["u_min_pu"] ** 2, case["limits"]["u_max_pu"] ** 2
    held = source["u_ref"] ** 2
    square = {
        node: rows.variable(held, held) if node == source["node"] else rows.variable(low, high)
        for node in u_rated
    }
    active = {node: [] for node in u_rated}
    reactive = {node: [] for node in u_rated}
    for line in data["line"]:
        parent, child = line["from_node"], line["to_node"]
        rated = math.sqrt(3) * line["i_n"] * u_rated[parent] / MW
        p, q = rows.variable(-rated, rated), rows.variable(-rated, rated)
        for flows, flow in ((active, p), (reactive, q)):
            flows[parent].append((flow, -1.0))
            flows[child].append((flow, 1.0))
        base = u_rated[parent] ** 2 / MW
        drop = [(p, 2 * line["r1"] / base), (q, 2 * line["x1"] / base)]
        rows.row(0.0, 0.0, [(square[child], 1.0), (square[parent], -1.0), *drop])
        for side in range(SIDES):
            angle = 2 * math.pi * side / SIDES
            terms = [(p, math.cos(angle)), (q, math.sin(angle))]
            rows.row(-math.inf, rated, [(k, a) for k, a in terms if abs(a) > 1e-12])
    node_of = {unit["id"]: unit["node"] for unit in case["units"]}
    for order in case["orders"]:
        sign = 1.0 if order["direction"] == "sell" else -1.0
        for step in order["steps"]:
            price = sign * step["price"] / 1e6
            quantity = rows.variable(0.0, step["quantity_w"] / MW, price)
            active[node_of[order["unit"]]].append((quantity, sign))
    for unit in case["units"]:
        most = unit["capability"]["q_max_var"] / MW
        reactive[unit["node"]].append((rows.variable(-most, most), 1.0))
    free = math.inf
    active[source["node"]] += [
        (rows.variable(0.0, free, interface["import_price"] / 1e6), 1.0),
        (rows.variable(0.0, free, -interface["export_price"] / 1e6), -1.0),
    ]
    reactive[source["node"]].append((rows.variable(-free, free), 1.0))
    load = {node: [0.0, 0.0] for node in u_rated}
    for fixed in case["fixed"]:
        load[fixed["node"]][0] -= fixed["p_w"] / MW
        load[fixed["node"]][1] -= fixed["q_var"] / MW
    for node in u_rated:
        for flows, of in zip((active, reactive), load[node]):
            rows.row(of, of, flows[node])
    return rows.lp()


class Linear:
    """A cold solve is one without basis or solution of an earlier one."""

    def __init__(self, command):
        with open(command["file"], encoding="utf-8") as file:
            lp = linearised(json.load(file))
        self.highs = highspy.Highs()
        for option, value in (
            ("output_flag", False), ("threads", 1), ("parallel", "off"), ("solver", command["method"]),
        ):
            self.highs.setOptionValue(option, value)
        self.highs.passModel(lp)
        self.size = {"columns": lp.num_col_, "rows": lp.num_row_}

    def prepare(self):
        self.highs.clearSolver()

    def solve(self):
        self.highs.run()

    def answer(self):
        status = self.highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            raise ValueError(str(status))
        return {"cost": self.highs.getObjectiveValue(), **self.size}


class Cigre:
    """CIGRE's network with all of its units: at noon with five times the generators and 30 % of the load
    ("stressed"), or as published. Prices, in the generators' order: 20 to 45 per MWh, storage 30; 50 above."""

    def __init__(self, command):
        net = pp.networks.create_cigre_network_mv(with_der="all")
        stressed = command["stressed"]
        scale, load = (5.0, 0.3) if stressed else (1.0, 1.0)
        net.load[["p_mw", "q_mvar"]] *= load
        net.bus["min_vm_pu"], net.bus["max_vm_pu"] = 0.95, 1.05
        net.line["max_loading_percent"] = 100.0
        net.trafo["max_loading_percent"] = 100.0
        # Without bounds on the source its method does not converge.
        for bound, value in (("min", -100.0), ("max", 100.0)):
            net.ext_grid[f"{bound}_p_mw"] = net.ext_grid[f"{bound}_q_mvar"] = value
        sgen, storage = net.sgen, net.storage
        sgen["p_mw"] *= scale
        rated = sgen.p_mw.copy()
        sgen["controllable"] = True
        sgen["min_p_mw"], sgen["max_p_mw"] = 0.0, rated
        sgen["min_q_mvar"], sgen["max_q_mvar"] = -0.484 * rated, 0.484 * rated
        rated = storage.p_mw.abs()
        storage["controllable"] = True
        storage["min_p_mw"], storage["max_p_mw"] = -rated, rated
        storage["min_q_mvar"], storage["max_q_mvar"] = -0.484 * rated, 0.484 * rated
        pp.create_poly_cost(net, 0, "ext_grid", cp1_eur_per_mw=50.0)
        for k, index in enumerate(sgen.index):
            price = 20.0 + 25.0 * k / (len(sgen) - 1)
            pp.create_poly_cost(net, index, "sgen", cp1_eur_per_mw=price)
        for index in storage.index:
            pp.create_poly_cost(net, index, "storage", cp1_eur_per_mw=-30.0)
        self.net = net

    def prepare(self):
        pass

    def solve(self):
        pp.runopp(self.net, numba=False)

    def answer(self):
        return {"cost": float(self.net.res_cost)}


def obey(command, cases):
    match command["do"]:
        case "load":
            cases.append((Linear if "file" in command else Cigre)(command))
            return {"case": len(cases) - 1}
        case "answer":
            chosen = cases[command["case"]]
            chosen.solve()
            return chosen.answer()
        case "sample":
            chosen = cases[command["case"]]
            chosen.prepare()
            wall, cpu = time.perf_counter(), time.process_time()
            chosen.solve()
            return {"seconds": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    raise ValueError(command)


serve(obey)
