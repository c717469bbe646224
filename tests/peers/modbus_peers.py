"""Modbus and SunSpec as others speak them: pymodbus and pysunspec2, for tests/peers_modbus.rs.

modbus_peers.py definitions ID...   the models as pysunspec2 has them, as JSON
modbus_peers.py scan HOST PORT      every value of a SunSpec device, as JSON
modbus_peers.py write HOST PORT     sets controls of model 704, then as scan
modbus_peers.py scan-line PATH UNIT the same of a device on a serial line
modbus_peers.py write-line PATH UNIT
modbus_peers.py station             a pymodbus server with four tables
modbus_peers.py station-rtu         the same, RTU frames over TCP
modbus_peers.py station-line        the same, on a serial line of its own
modbus_peers.py station-tls CERTIFICATE KEY AUTHORITIES    the same, under TLS
modbus_peers.py inverter            a pymodbus server with models that pysunspec2 encoded
modbus_peers.py inverter MODEL      the same with this model of an inverter's measurements
modbus_peers.py meter MODEL         a pymodbus server with the registers of a power meter
modbus_peers.py read-tls PORT CERTIFICATE KEY AUTHORITIES    registers 0 to 3 of 127.0.0.1, or the error, as JSON

The servers print their port (a number or a path), serve until standard input closes, and then print every holding
register that a client wrote, as JSON.
"""

import asyncio
import json
import os
import ssl
import sys
import threading
import tty

from pymodbus import FramerType
from pymodbus.client import ModbusTlsClient
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice
from sunspec2 import device
from sunspec2.modbus.client import SunSpecModbusClientDeviceRTU, SunSpecModbusClientDeviceTCP

BASE = 40000
# A pseudo-terminal has none, and pyserial insists.
NO_PARITY = "N"


def definitions(ids):
    def points(group, offset, prefix):
        rows = []
        for point in group["points"]:
            name = prefix + point["name"]
            writable = point.get("access") == "RW"
            rows.append([name, offset, point["type"], point["size"], point.get("sf", ""), writable])
            offset += point["size"]
        for inner in group.get("groups", []):
            # Repeating groups are no part of the fixed block.
            if inner.get("count", 1) == 1:
                more, offset = points(inner, offset, prefix + inner["name"] + ".")
                rows += more
        return rows, offset

    result = {}
    for model_id in ids:
        rows, end = points(device.get_model_def(int(model_id))["group"], 0, "")
        # The first two, ID and L, are the header of every model.
        result[model_id] = {"length": end - 2, "points": rows[2:]}
    return result


def by_tcp(host, port):
    return SunSpecModbusClientDeviceTCP(slave_id=1, ipaddr=host, ipport=int(port), timeout=10)


def on_line(path, unit):
    return SunSpecModbusClientDeviceRTU(slave_id=int(unit), name=path, baudrate=19200, parity=NO_PARITY, timeout=10)


def values(group, prefix=""):
    result = {prefix + name: point.cvalue for name, point in group.points.items()}
    for name, inner in group.groups.items():
        if not isinstance(inner, list):
            result |= values(inner, prefix + name + ".")
    return result


def scan(peer):
    peer.scan()
    models = [m for key, same in peer.models.items() if isinstance(key, int) for m in same]
    models.sort(key=lambda model: model.model_addr)
    return [
        {"id": m.model_id, "address": m.model_addr, "length": m.model_len, "values": values(m)}
        for m in models
    ]


def write(peer):
    peer.scan()
    peer.connect()
    controls = peer.models[704][0]
    controls.points["WMaxLimPct"].cvalue = 62.3
    controls.points["WMaxLimPctRvrt"].cvalue = 60.0
    controls.points["WMaxLimPctEnaRvrt"].cvalue = 1
    controls.points["WMaxLimPctRvrtTms"].cvalue = 30
    controls.points["VarSet"].cvalue = -700000
    controls.write()
    controls.points["WMaxLimPctEna"].cvalue = 1
    controls.write()
    peer.disconnect()
    return scan(peer)


def line():
    """A serial line: the paths of its two ends."""
    ends = [os.openpty() for _ in range(2)]
    for _, far in ends:
        tty.setraw(far)

    def pass_on(source, sink):
        while data := os.read(source, 256):
            os.write(sink, data)

    (one, _), (other, _) = ends
    for way in [(one, other), (other, one)]:
        threading.Thread(target=pass_on, args=way, daemon=True).start()
    return [os.ttyname(far) for _, far in ends]


def secure(purpose, certificate, key, authorities):
    """Mutual TLS by OpenSSL."""
    context = ssl.create_default_context(purpose, cafile=authorities)
    context.load_cert_chain(certificate, key)
    # Its client gives OpenSSL no name to check.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def read_under_tls(port, *files):
    context = secure(ssl.Purpose.SERVER_AUTH, *files)
    client = ModbusTlsClient("127.0.0.1", port=int(port), sslctx=context, retries=0)
    try:
        if not client.connect():
            return {"error": "not connected"}
        answer = client.read_holding_registers(0, count=4, device_id=1)
        return {"registers": answer.registers}
    except Exception as error:
        return {"error": repr(error)}
    finally:
        client.close()


async def serve(simdata, how="tcp", files=()):
    written = {}

    def watch(sending, pdu):
        if not sending and pdu.function_code in (6, 16):
            for offset, register in enumerate(pdu.registers):
                written[pdu.address + offset] = register
        return pdu

    device = SimDevice(id=1, simdata=simdata)
    if how == "line":
        ours, port = line()
        server = ModbusSerialServer(device, port=ours, baudrate=19200, parity=NO_PARITY, trace_pdu=watch)
        await server.serve_forever(background=True)
    elif how == "tls":
        context = secure(ssl.Purpose.CLIENT_AUTH, *files)
        server = ModbusTlsServer(device, address=("127.0.0.1", 0), sslctx=context, trace_pdu=watch)
        await server.serve_forever(background=True)
        port = server.transport.sockets[0].getsockname()[1]
    else:
        framer = FramerType.RTU if how == "rtu" else FramerType.SOCKET
        address = ("127.0.0.1", 0)
        server = ModbusTcpServer(device, address=address, framer=framer, trace_pdu=watch)
        await server.serve_forever(background=True)
        port = server.transport.sockets[0].getsockname()[1]
    print(port, flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.shutdown()
    return written


def registers(address, *numbers):
    return SimData(address, values=list(numbers), datatype=DataType.REGISTERS)


def station():
    """A voltage, a power, a tap position, a floating point set value, a breaker, a switch."""
    return (
        [SimData(3, values=[True], datatype=DataType.BITS)],
        [SimData(7, values=[True], datatype=DataType.BITS)],
        [
            SimData(10, values=-2, datatype=DataType.INT16),
            SimData(12, values=25.0, datatype=DataType.FLOAT32),
            registers(14, 2),
        ],
        [
            registers(0, 20123),
            SimData(1, values=-100, datatype=DataType.INT32),
            SimData(20, values=5_000_000_000, datatype=DataType.UINT64),
        ],
    )


def floats(*rows):
    """Floats at addresses, high register first."""
    return [SimData(address, values=value, datatype=DataType.FLOAT32) for address, value in rows]


def sdm630():
    """Eastron SDM630 Modbus V2: every parameter is an input register pair, numbered from 0. What is between
    the parameters that a profile reads is there too."""
    shown = {42: 230.5, 46: 12.5, 52: 8500.0, 60: -1250.0, 70: 50.01, 72: 1234.5, 74: 6.25, 206: 399.25}
    rows = floats(*((address, shown.get(address, 0.0)) for address in range(0, 382, 2)))
    return [SimData(0, values=[False], datatype=DataType.BITS)], [SimData(0, values=[False], datatype=DataType.BITS)], [registers(0, 0)], rows


def pm5000():
    """Schneider PM5000 and iEM3000: holding registers, in the register list numbered from 1."""
    rows = floats((3009, 12.5), (3025, 399.25), (3059, 8.5), (3067, -1.25), (3109, 50.01))
    energies = [SimData(3203 + 4 * k, values=value, datatype=DataType.INT64) for k, value in enumerate([1_234_500, 6_250])]
    return [SimData(0, values=[False], datatype=DataType.BITS)], [SimData(0, values=[False], datatype=DataType.BITS)], rows + energies, [registers(0, 0)]


METERS = {"sdm630": sdm630, "pm5000": pm5000}

INVERTER = {
    1: {"Mn": "Example", "Md": "Inverter", "SN": "0002", "DA": 1},
    103: {
        "A_SF": 0, "AphA": 119, "AphB": 120, "AphC": 121, "V_SF": 0, "PPVphAB": 20100,
        "PPVphBC": 20200, "PPVphCA": 20300, "W_SF": 3, "W": 4000, "Hz_SF": -2, "Hz": 5002,
        "VAr_SF": 3, "VAr": -1200, "WH_SF": 3, "WH": 123456, "St": 4,
    },
    702: {"W_SF": 3, "WMaxRtg": 5000, "WMax": 5000, "VA_SF": 3, "VAMaxRtg": 5500, "Var_SF": 3,
          "VarMaxInjRtg": 2200, "VarMaxInj": 2200, "VarMaxAbs": 2200},
    704: {
        "WMaxLimPct_SF": -1, "WSet_SF": 0, "VarSet_SF": 0,
        "WMaxLimPctEna": 0, "WMaxLimPct": 1000, "WMaxLimPctRvrt": 1000, "WMaxLimPctEnaRvrt": 0,
        "WMaxLimPctRvrtTms": 0, "WMaxLimPctRvrtRem": 0, "WSetEna": 0, "WSetMod": 1, "WSet": 0,
        "WSetRvrt": 0, "WSetEnaRvrt": 0, "WSetRvrtTms": 0, "WSetRvrtRem": 0, "VarSetEna": 0,
        "VarSetMod": 4, "VarSet": 0, "VarSetRvrt": 0, "VarSetEnaRvrt": 0, "VarSetRvrtTms": 0,
        "VarSetRvrtRem": 0,
    },
    713: {"Pct_SF": -1, "SoC": 455},
}


# What inverters of the other models show: 4.6 kW, -0.4 kvar, 230 V of one phase or 240 V between two, 20 A.
SMALL = {
    1: {"A": 20.0, "AphA": 20.0, "PhVphA": 230.0},
    2: {"A": 40.0, "AphA": 20.0, "AphB": 20.0, "PPVphAB": 240.0, "PhVphA": 120.0, "PhVphB": 120.0},
    3: {"A": 60.0, "AphA": 19.0, "AphB": 20.0, "AphC": 21.0, "PhVphA": 229.0, "PhVphB": 230.0, "PhVphC": 231.0},
}
EVERY = {"W": 4600.0, "VAr": -400.0, "Hz": 49.75, "WH": 1234567.0, "St": 4}
EXPONENTS = {"A": -2, "V": -1, "W": 0, "Hz": -2, "VAr": 0, "WH": 0}


def small(model_id):
    """The points of one of them, as integers with scale factors or as floats."""
    values = SMALL[model_id % 10] | EVERY
    if model_id > 110:
        return values
    points = {f"{name}_SF": exponent for name, exponent in EXPONENTS.items()}
    for name, value in values.items():
        scale = name if name in EXPONENTS else "A" if name.startswith("Aph") else "V" if "V" in name else None
        points[name] = round(value / 10 ** EXPONENTS.get(scale, 0))
    return points


def inverter(models):
    """A device as pysunspec2 encodes it; points without a value are "not implemented"."""
    image = b"SunS"
    for model_id, points in models.items():
        length = definitions([model_id])[model_id]["length"]
        model = device.Model(model_id=model_id, model_len=length)
        for name, value in points.items():
            model.points[name].value = value
        image += model.get_mb()
    image += b"\xff\xff\x00\x00"
    words = [int.from_bytes(image[i : i + 2], "big") for i in range(0, len(image), 2)]
    return [registers(BASE, *words)]


def main():
    match sys.argv[1:]:
        case ["definitions", *ids]:
            result = definitions(ids)
        case ["scan", host, port]:
            result = scan(by_tcp(host, port))
        case ["write", host, port]:
            result = write(by_tcp(host, port))
        case ["scan-line", path, unit]:
            result = scan(on_line(path, unit))
        case ["write-line", path, unit]:
            result = write(on_line(path, unit))
        case ["station"]:
            result = asyncio.run(serve(station()))
        case ["station-rtu"]:
            result = asyncio.run(serve(station(), "rtu"))
        case ["station-line"]:
            result = asyncio.run(serve(station(), "line"))
        case ["station-tls", *files]:
            result = asyncio.run(serve(station(), "tls", files))
        case ["read-tls", port, *files]:
            result = read_under_tls(port, *files)
        case ["meter", model]:
            result = asyncio.run(serve(METERS[model]()))
        case ["inverter"]:
            result = asyncio.run(serve(inverter(INVERTER)))
        case ["inverter", model_id]:
            result = asyncio.run(serve(inverter({1: INVERTER[1], int(model_id): small(int(model_id))})))
        case _:
            sys.exit(__doc__)
    json.dump(result, sys.stdout)


main()
