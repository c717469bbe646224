"""OpenDSS's side of `cargo xtask bench solver`.

Makes a circuit of a network of `tests/src/grids/feeder.rs`, solves it with the loads of each scenario, and
answers with the time its own thread was on the processor. Only `Solution.Solve` counts: neither
reading the circuit nor handing over the loads.
"""

import json
import math
import time
from pathlib import Path

import dss
import numpy as np
from bench_loop import serve

KIND = {0: 1, 1: 2, 2: 5}  # power-grid-model's type: OpenDSS's load model
LEGS = [(1, 2), (2, 3), (3, 1)]


def matrix(row, kind, phases, scale=1.0):
    """A lower triangle as OpenDSS writes it."""
    lines = []
    for i, p in enumerate(phases):
        lines.append(" ".join(repr(row[f"{kind}_{p}{q}"] * scale) for q in phases[: i + 1]))
    return "[" + " | ".join(lines) + "]"


class Case:
    def __init__(self, command):
        self.network = json.loads(Path(command["input"]).read_text())["data"]
        update = json.loads(Path(command["update"]).read_text())["data"]
        self.dss = dss.DSS.NewContext()
        self.run = self.dss.Text
        self.circuit = self.dss.ActiveCircuit
        self.rated = {n["id"]: n["u_rated"] for n in self.network["node"]}
        self.build()
        self.loads = self.circuit.Loads
        self.scenarios = [self.powers(s["asym_load"]) for s in update]
        self.count = len(self.scenarios)
        self.run.Command = f"set tolerance={command['tolerance']}"
        self.run.Command = f"set algorithm={command['method'].removeprefix('opendss_')}"

    def build(self):
        run = lambda command: setattr(self.run, "Command", command)
        run("clear")
        run("set DefaultBaseFrequency=50")
        (s,) = self.network["source"]
        kv = self.rated[s["node"]] / 1e3
        z = (kv * 1e3) ** 2 / s["sk"]
        x = z / math.hypot(1.0, s["rx_ratio"])
        r = s["rx_ratio"] * x
        run(
            f"new circuit.feeder bus1={s['node']} basekv={kv!r} pu={s['u_ref']!r} angle=0 Z1=[{r!r}, {x!r}] "
            f"Z0=[{r!r}, {x!r}]"
        )
        for t in self.network["transformer"]:
            kva, loss = t["sn"] / 1e3, t["pk"] / t["sn"]
            xhl = math.sqrt(t["uk"] ** 2 - loss**2) * 100
            run(
                f"new transformer.{t['id']} phases=3 windings=2 buses=({t['from_node']}, {t['to_node']}) "
                f"conns=(wye, wye) kVs=({t['u1'] / 1e3!r}, {t['u2'] / 1e3!r}) kVAs=({kva!r}, {kva!r}) "
                f"%Rs=({loss * 50!r}, {loss * 50!r}) XHL={xhl!r} %noloadloss=0 %imag=0 ppm_antifloat=0"
            )
        for line in self.network["asym_line"]:
            phases = line["phases"]
            at = "".join(f".{'abc'.index(p) + 1}" for p in phases)
            run(
                f"new line.{line['id']} phases={len(phases)} bus1={line['from_node']}{at} bus2={line['to_node']}{at} "
                f"rmatrix={matrix(line, 'r', phases)} xmatrix={matrix(line, 'x', phases)} "
                f"cmatrix={matrix(line, 'c', phases, 1e9)} length=1 units=none"
            )
        for c in self.network["shunt"]:
            phases = c.get("phases", "abc")
            kv = self.rated[c["node"]] / 1e3 / (1 if len(phases) > 1 else math.sqrt(3))
            at = "".join(f".{'abc'.index(p) + 1}" for p in phases)
            kvar = c["b1"] * kv * kv * 1e3 * (1 if len(phases) != 2 else 2 / 3)
            run(f"new capacitor.{c['id']} phases={len(phases)} bus1={c['node']}{at} kv={kv!r} kvar={kvar!r}")
        # In the order in which they are numbered.
        self.parts = []
        for k, row in enumerate(self.network["asym_load"]):
            delta = row.get("connection") == "delta"
            kv = self.rated[row["node"]] / 1e3 / (1 if delta else math.sqrt(3))
            for p in range(3):
                if row["p_specified"][p] == 0.0:
                    continue
                at = ".".join(map(str, LEGS[p])) if delta else p + 1
                run(
                    f"new load.{row['id']}_{p} phases=1 bus1={row['node']}.{at} conn={'delta' if delta else 'wye'} "
                    f"kv={kv!r} kw=1 kvar=1 model={KIND[row['type']]} vminpu=0.5 vmaxpu=1.5"
                )
                self.parts.append((k, p))
        for command in ["set voltagebases=[115, 12.47]", "calcvoltagebases", "set controlmode=off", "set maxiterations=200"]:
            run(command)
        run("set mode=snapshot")

    def powers(self, rows):
        return [(rows[k]["p_specified"][p] / 1e3, rows[k]["q_specified"][p] / 1e3) for k, p in self.parts]

    def solve(self):
        """Seconds, and the voltages of each scenario."""
        seconds, voltages = 0.0, []
        solution = self.circuit.Solution
        for powers in self.scenarios:
            for k, (kw, kvar) in enumerate(powers, 1):
                self.loads.idx = k
                self.loads.kW = kw
                self.loads.kvar = kvar
            start = time.thread_time()
            solution.Solve()
            seconds += time.thread_time() - start
            if not solution.Converged:
                raise RuntimeError("OpenDSS did not converge")
            voltages.append(np.array(self.circuit.AllBusVolts))
        return seconds, voltages

    def by_node(self, volts):
        """Magnitude, pu, and angle of each phase there is, in the order of nodes and phases."""
        found = {}
        for name, u in zip(self.circuit.AllNodeNames, volts.reshape(-1, 2)):
            bus, phase = name.split(".")
            found[int(bus), int(phase)] = complex(*u) / (self.rated[int(bus)] / math.sqrt(3))
        ordered = [found[n["id"], p] for n in self.network["node"] for p in (1, 2, 3) if (n["id"], p) in found]
        return [[abs(u), math.atan2(u.imag, u.real)] for u in ordered]


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
            _, voltages = chosen.solve()
            answer = np.array([chosen.by_node(v) for v in voltages])
            answer.astype("<f8").tofile(command["file"])
            return {"scenarios": chosen.count, "iterations": chosen.circuit.Solution.Iterations}
        case "sample":
            chosen = cases[command["case"]]
            seconds, _ = chosen.solve()
            return {"seconds": seconds / chosen.count}
    raise ValueError(command)


serve(obey)
