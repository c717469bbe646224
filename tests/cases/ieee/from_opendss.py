"""Makes a case of an OpenDSS circuit: input.json in Busbar's format, asym_output.json as OpenDSS solves it.

    pip install dss-python==0.15.7
    python from_opendss.py CIRCUIT.dss FOLDER

The circuit's own data are carried over: impedance and capacitance matrices of lines, ratings and
short-circuit impedances of transformers, settings of regulators, loads, capacitors. Regulators
stand where OpenDSS's own control leaves them.
"""

import json
import math
import sys
from pathlib import Path

import dss
import numpy as np

OMEGA = 2 * math.pi * 60
LEGS = {(1, 2): 0, (2, 1): 0, (2, 3): 1, (3, 2): 1, (3, 1): 2, (1, 3): 2}
KIND = {1: 0, 2: 1, 5: 2}  # OpenDSS's load model: power-grid-model's type


def names(nodes):
    return "".join("abc"[n - 1] for n in nodes)


def each(collection):
    k = collection.First
    while k:
        yield collection
        k = collection.Next


class Case:
    def __init__(self, circuit):
        self.circuit = circuit
        self.data = {}
        self.next_id = 1
        self.node = {}
        self.u_rated = {}
        for bus in circuit.AllBusNames:
            circuit.SetActiveBus(bus)
            self.u_rated[bus] = round(circuit.ActiveBus.kVBase * 1000 * math.sqrt(3), 3)
            self.node[bus] = self.add("node", bus, u_rated=self.u_rated[bus])

    def add(self, table, name, **row):
        row = {"id": self.next_id, "name": name, **row}
        self.data.setdefault(table, []).append(row)
        self.next_id += 1
        return row["id"]

    def element(self):
        """Buses and connected nodes of each terminal of the active element."""
        e = self.circuit.ActiveCktElement
        buses = [b.split(".")[0].lower() for b in e.BusNames]
        order = list(e.NodeOrder)
        n = len(order) // len(buses)
        return e, buses, [[x for x in order[k * n : (k + 1) * n] if x] for k in range(len(buses))]

    def ends(self, buses):
        return {"from_node": self.node[buses[0]], "to_node": self.node[buses[1]], "from_status": 1, "to_status": 1}

    def source(self):
        self.circuit.Vsources.First
        e, buses, _ = self.element()
        value = lambda name: float(e.Properties(name).Val)
        r, x = value("R1"), value("X1")
        kv = self.circuit.Vsources.BasekV
        self.add(
            "source", e.Name, node=self.node[buses[0]], status=1, u_ref=self.circuit.Vsources.pu,
            u_ref_angle=math.radians(self.circuit.Vsources.AngleDeg), sk=(kv * 1000) ** 2 / math.hypot(r, x),
            rx_ratio=r / x, z01_ratio=math.hypot(value("R0"), value("X0")) / math.hypot(r, x),
        )

    def lines(self):
        for _ in each(self.circuit.Lines):
            e, buses, nodes = self.element()
            n = len(nodes[0])
            y = np.array(e.Yprim)
            y = (y[0::2] + 1j * y[1::2]).reshape(2 * n, 2 * n)
            z = np.linalg.inv(-y[:n, n:])
            c = 2 * (y[:n, :n] + y[:n, n:]).imag / OMEGA
            row = {}
            for i in range(n):
                for j in range(n):
                    p, q = nodes[0][i], nodes[0][j]
                    if p >= q:
                        entry = names([p, q])
                        row |= {f"r_{entry}": z[i, j].real, f"x_{entry}": z[i, j].imag, f"c_{entry}": c[i, j]}
            # Rounding of the admittances, not data.
            row = {k: 0.0 if abs(v) < (1e-15 if k[0] == "c" else 1e-11) else v for k, v in row.items()}
            phases = {} if n == 3 else {"phases": names(sorted(nodes[0]))}
            self.add("asym_line", e.Name, **self.ends(buses), **phases, **dict(sorted(row.items(), key=order)))

    def transformers(self):
        controls = {}
        c = self.circuit.RegControls
        for _ in each(c):
            controls[c.Transformer] = {
                "u_set": c.ForwardVreg, "u_band": c.ForwardBand, "pt_ratio": c.PTratio, "ct_rating": c.CTPrimary,
                "r_compensation": c.ForwardR, "x_compensation": c.ForwardX,
            }
        t = self.circuit.Transformers
        for _ in each(t):
            e, buses, nodes = self.element()
            t.Wdg = 1
            from_delta, u1, sn, r = t.IsDelta, t.kV * 1000, t.kVA * 1000, t.R
            t.Wdg = 2
            to_delta, u2, r = t.IsDelta, t.kV * 1000, (r + t.R) / 100
            x = t.Xhl / 100
            self.anti_float(e, buses, nodes, [from_delta, to_delta])
            if t.Name in controls:
                phases = names(nodes[0])
                z = u1 * u1 / sn
                extra = {} if phases == "abc" else {"phases": phases}
                extra |= {"connection": "delta"} if from_delta else {}
                tap = (t.Tap - 1) / 0.00625
                assert abs(tap - round(tap)) < 1e-6, (t.Name, t.Tap)
                self.add(
                    "step_voltage_regulator", e.Name, **self.ends(buses), **extra, r=r * z, x=x * z,
                    tap_pos=round(tap), **controls[t.Name],
                )
                continue
            assert len(nodes[0]) == 3 and t.Tap == 1.0
            self.add(
                "transformer", e.Name, **self.ends(buses), u1=u1, u2=u2, sn=sn, uk=math.hypot(r, x), pk=r * sn,
                i0=0.0, p0=0.0, winding_from=2 if from_delta else 1, winding_to=2 if to_delta else 1,
                clock=int(from_delta != to_delta), tap_side=0, tap_pos=0, tap_min=0, tap_max=0, tap_size=0.0,
            )

    def anti_float(self, e, buses, nodes, delta):
        """What OpenDSS puts from each corner of a delta to ground (`ppm_antifloat`): it sets where the
        neutral point of the IEEE 37 feeder lies, by 1e-4 pu."""
        y = np.array(e.Yprim)
        n = math.isqrt(len(y) // 2)
        y = (y[0::2] + 1j * y[1::2]).reshape(n, n)
        for k in (0, 1):
            if delta[k]:
                own = slice(k * n // 2, k * n // 2 + len(nodes[k]))
                b = y[own, own].sum(axis=1).imag.mean()
                phases = {"g0": 0.0, "b0": b} if len(nodes[k]) == 3 else {"phases": names(sorted(nodes[k]))}
                self.add("shunt", e.Name + " anti-float", node=self.node[buses[k]], status=1, g1=0.0, b1=b, **phases)

    def capacitors(self):
        for _ in each(self.circuit.Capacitors):
            e, buses, nodes = self.element()
            c = self.circuit.Capacitors
            assert not c.IsDelta
            b = c.kvar * 1000 / (c.kV * 1000) ** 2
            phases = {"g0": 0.0, "b0": b} if len(nodes[0]) == 3 else {"phases": names(nodes[0])}
            self.add("shunt", e.Name, node=self.node[buses[0]], status=1, g1=0.0, b1=b, **phases)

    def loads(self):
        l = self.circuit.Loads
        for _ in each(l):
            e, buses, nodes = self.element()
            kw, kvar = l.kW * 1000, l.kvar * 1000
            # Nominal at the load's own rated voltage; here at the node's.
            rated = self.u_rated[buses[0]] / (1 if l.IsDelta or len(nodes[0]) == 3 else math.sqrt(3))
            up = rated / (l.kV * 1000)
            if l.Model == 4:  # active power follows the voltage, reactive power its square
                parts = [(2, kw * up, 0.0), (1, 0.0, kvar * up * up)]
            else:
                scale = {0: 1, 1: up * up, 2: up}[KIND[l.Model]]
                parts = [(KIND[l.Model], kw * scale, kvar * scale)]
            # OpenDSS's limits are of the load's own rated voltage too.
            limits = {"u_min": l.Vminpu / up, "u_max": l.Vmaxpu / up}
            delta = {"connection": "delta"} if l.IsDelta else {}
            for kind, p, q in parts:
                row = {"node": self.node[buses[0]], "status": 1, "type": kind, **delta}
                row |= limits if kind != 1 or l.Model == 4 else {}
                if len(nodes[0]) == 3:
                    self.add("sym_load", e.Name, **row, p_specified=p, q_specified=q)
                    continue
                k = LEGS[tuple(nodes[0])] if l.IsDelta else nodes[0][0] - 1
                at = lambda value: [value if i == k else 0.0 for i in range(3)]
                self.add("asym_load", e.Name, **row, p_specified=at(p), q_specified=at(q))

    def solution(self):
        u = {bus: [None] * 3 for bus in self.node}
        for name, re, im in zip(self.circuit.AllNodeNames, *np.array(self.circuit.AllBusVolts).reshape(-1, 2).T):
            bus, phase = name.lower().split(".")
            u[bus][int(phase) - 1] = complex(re, im) / (self.u_rated[bus] / math.sqrt(3))
        real = lambda f, values: [None if v is None else f(v) for v in values]
        return [
            {"id": self.node[bus], "u_pu": real(abs, v), "u_angle": real(lambda z: math.atan2(z.imag, z.real), v)}
            for bus, v in u.items()
        ]


def order(item):
    name = item[0]
    return ("rxc".index(name[0]), name)


def rounded(value):
    """To 12 digits: what is beyond is rounding, not data."""
    if isinstance(value, float):
        return float(f"{value:.12g}")
    return [rounded(v) for v in value] if isinstance(value, list) else value


def write(path, kind, tables, **header):
    lines = ",\n".join(
        f'  "{table}": [\n' + ",\n".join("    " + json.dumps({k: rounded(v) for k, v in row.items()}) for row in rows) + "\n  ]"
        for table, rows in tables.items()
    )
    head = json.dumps({"version": "1.0", "type": kind, "is_batch": False, **header, "attributes": {}})
    path.write_text(f'{head[:-1]},\n "data": {{\n{lines}\n }}\n}}\n')


def main(circuit_file, folder):
    engine = dss.DSS
    engine.Text.Command = f"compile {Path(circuit_file).resolve()}"
    engine.Text.Command = "set tolerance=1e-10 maxiterations=500 maxcontroliter=100"
    circuit = engine.ActiveCircuit
    circuit.Solution.Solve()
    assert circuit.Solution.Converged
    case = Case(circuit)
    case.source()
    case.lines()
    case.transformers()
    case.capacitors()
    case.loads()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / "input.json", "input", case.data, system_frequency=60)
    write(folder / "asym_output.json", "asym_output", {"node": case.solution()})


if __name__ == "__main__":
    main(*sys.argv[1:])
