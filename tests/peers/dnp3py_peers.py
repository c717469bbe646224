"""DNP3 as dnp3py speaks it, a stack of its own, for tests/peers_dnp3.

dnp3py_peers.py master PORT LOCAL REMOTE   polls everything twice, prints the values and ends
dnp3py_peers.py outstation LOCAL REMOTE    serves a few points until standard input closes

Writes one JSON object a line.
"""

import asyncio
import json
import sys

from dnp3.database import AnalogInputConfig, BinaryInputConfig, CounterConfig, Database
from dnp3.master import DefaultSOEHandler, Master, MasterConfig, MasterTcpRunner
from dnp3.outstation import Outstation, OutstationConfig, OutstationTcpRunner


def tell(**what):
    print(json.dumps(what), flush=True)


def plain(points):
    return [[index, point.value] for index, point in sorted(points.items())]


async def master(port, local, remote):
    handler = DefaultSOEHandler()
    config = MasterConfig(address=int(local), outstation_address=int(remote))
    peer = Master(handler=handler, config=config)
    async with MasterTcpRunner(master=peer, host="127.0.0.1", port=int(port)) as runner:
        first = await runner.integrity_poll()
        second = await runner.integrity_poll()
    tell(
        fragments=[len(first), len(second)],
        binary=plain(handler.binary_inputs),
        double=[[i, v.state.name] for i, v in sorted(handler.double_bit_inputs.items())],
        binary_output=plain(handler.binary_outputs),
        counter=plain(handler.counters),
        analog=plain(handler.analog_inputs),
        analog_output=plain(handler.analog_outputs),
    )


async def outstation(local, remote):
    database = Database()
    for index in range(3):
        database.add_binary_input(index, BinaryInputConfig())
        database.add_analog_input(index, AnalogInputConfig())
        database.add_counter(index, CounterConfig())
        database.update_binary_input(index, value=index == 1)
        database.update_analog_input(index, value=-1000 * index)
        database.update_counter(index, value=4_000_000_000 + index)
    config = OutstationConfig(address=int(local), master_address=int(remote))
    peer = OutstationTcpRunner(
        outstation=Outstation(database=database, config=config), host="127.0.0.1", port=0
    )
    running = asyncio.create_task(peer.run())
    while not peer.is_running:
        await asyncio.sleep(0.01)
    tell(port=peer.local_address[1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await peer.stop()
    await running


match sys.argv[1:]:
    case ["master", *arguments]:
        asyncio.run(master(*arguments))
    case ["outstation", *arguments]:
        asyncio.run(outstation(*arguments))
    case _:
        sys.exit(__doc__)
