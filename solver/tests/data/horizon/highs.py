"""Writes highs.json: random horizons on a network that loses nothing, and what HiGHS says they cost at least.

    pip install highspy==1.15.1 && python highs.py > highs.json

Power is in kW, energy in kWh, prices are per MWh. An hour is an interval. Charging and discharging at once never pays
here: prices are positive and stores lose, so that the linear programme's optimum is that of the store.
"""

import json
import random

import highspy


def draw(seed):
    rng = random.Random(seed)
    hours = rng.choice([4, 8, 12, 24])
    prices = [rng.randint(20, 90) for _ in range(hours)]
    most = rng.randint(300, 3000)
    energy_max = rng.randint(200, 4000)
    energy_min = rng.randint(0, energy_max // 2)
    stores = [
        {
            "take": most,
            "give": rng.randint(200, 2000),
            "energy": rng.randint(energy_min, energy_max),
            "energy_min": energy_min,
            "energy_max": energy_max,
            "charge_ppm": rng.randint(800_000, 990_000),
            "discharge_ppm": rng.randint(800_000, 990_000),
            "wear": rng.randint(0, 15),
            "end_value": rng.randint(0, 60),
        }
        for _ in range(rng.randint(1, 3))
    ]
    windows = []
    for _ in range(rng.randint(0, 2)):
        first = rng.randrange(hours - 1)
        windows.append(
            {
                "first": first,
                "last": rng.randrange(first + 1, hours),
                "power": rng.randint(100, 2000),
                "energy": rng.randint(100, 5000),
                "price": rng.randint(20, 90),
            }
        )
    return {
        "import": prices,
        "export": [price * rng.randint(50, 100) // 100 for price in prices],
        "load": [rng.randint(0, 3000) for _ in prices],
        "import_max": rng.choice([None, 4000]),
        "offers": [[rng.randint(100, 3000), rng.randint(10, 95)] for _ in prices],
        "stores": stores,
        "windows": windows,
    }


def least_cost(case):
    model = highspy.Highs()
    model.silent()
    infinity = highspy.kHighsInf
    hours = range(len(case["import"]))

    def variable(most, cost):
        model.addVar(0, most)
        at = model.getNumCol() - 1
        model.changeColCost(at, cost / 1000)
        return at

    def row(low, high, terms):
        model.addRow(low, high, len(terms), [k for k, _ in terms], [v for _, v in terms])

    balance = [[] for _ in hours]
    for t in hours:
        most = infinity if case["import_max"] is None else case["import_max"]
        balance[t].append((variable(most, case["import"][t]), 1))
        balance[t].append((variable(infinity, -case["export"][t]), -1))
        quantity, price = case["offers"][t]
        balance[t].append((variable(quantity, price), 1))
    for of in case["stores"]:
        before, value = None, of["end_value"]
        for t in hours:
            charge, discharge = variable(of["take"], 0), variable(of["give"], of["wear"])
            last = t == hours[-1]
            energy = variable(infinity, -value if last else 0)
            row(of["energy_min"], of["energy_max"], [(energy, 1)])
            balance[t] += [(charge, -1), (discharge, 1)]
            own = [(charge, -of["charge_ppm"] / 1e6), (discharge, 1e6 / of["discharge_ppm"]), (energy, 1)]
            if before is None:
                row(of["energy"], of["energy"], own)
            else:
                row(0, 0, own + [(before, -1)])
            before = energy
    for of in case["windows"]:
        all_of_it = []
        for t in range(of["first"], of["last"] + 1):
            power = variable(of["power"], -of["price"])
            balance[t].append((power, -1))
            all_of_it.append((power, 1))
        row(0, of["energy"], all_of_it)
    for t in hours:
        row(case["load"][t], case["load"][t], balance[t])
    model.run()
    assert model.getModelStatus() == highspy.HighsModelStatus.kOptimal, model.getModelStatus()
    return model.getInfo().objective_function_value


cases = []
for seed in range(60):
    case = draw(seed)
    case["cost"] = round(least_cost(case), 6)
    cases.append(case)
print("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]")
