"""DNP3 as others speak it: opendnp3 (yadnp3) and dnp3py, for tests/peers_dnp3.rs.

dnp3_peers.py master PORT LOCAL REMOTE          opendnp3's master
dnp3_peers.py outstation LOCAL REMOTE           opendnp3's outstation, five points of each kind
dnp3_peers.py dnp3py-outstation LOCAL REMOTE    dnp3py's outstation, a few points

Reads one JSON array a line from standard input, a command and its arguments, and writes what
happens as one JSON object a line; ends when standard input closes.
"""

import json
import sys
import threading
import time

import opendnp3 as dnp3

lock = threading.Lock()


def tell(**what):
    with lock:
        print(json.dumps(what), flush=True)


def plain(value):
    """A value of opendnp3's as JSON knows it."""
    if isinstance(value, (bool, int, float)):
        return value
    if hasattr(value, "name"):
        return value.name
    if hasattr(value, "ToBytes"):
        return value.ToBytes().decode("latin-1")
    return str(value)


def item(entry):
    inner = entry.value
    if isinstance(inner, dnp3.OctetString):
        return [entry.index, plain(inner), None, None]
    flags = inner.flags.value if hasattr(inner, "flags") else plain(inner.status)
    return [entry.index, plain(inner.value), flags, inner.time.value]


class Values(dnp3.ISOEHandler):
    def __init__(self):
        super().__init__()
        self.unsolicited = False

    def BeginFragment(self, info):
        self.unsolicited = info.unsolicited

    def EndFragment(self, info):
        pass

    def Process(self, info, values):
        tell(
            values=info.gv.name,
            unsolicited=self.unsolicited,
            time=info.tsquality.name,
            items=[item(entry) for entry in values],
        )


class Application(dnp3.IMasterApplication):
    def __init__(self):
        super().__init__()

    def OnReceiveIIN(self, iin):
        tell(iin=[iin.LSB, iin.MSB])

    def OnTaskComplete(self, info):
        tell(task=info.type.name, result=info.result.name)

    def Now(self):
        return dnp3.UTCTimestamp(int(time.time() * 1000))

    def OnOpen(self):
        tell(open=True)

    def OnClose(self):
        tell(open=False)


COMMANDS = {
    "crob": lambda op, tcc, count, on, off: dnp3.ControlRelayOutputBlock(
        getattr(dnp3.OperationType, op), getattr(dnp3.TripCloseCode, tcc), False, count, on, off
    ),
    "i16": dnp3.AnalogOutputInt16,
    "i32": dnp3.AnalogOutputInt32,
    "f32": dnp3.AnalogOutputFloat32,
    "f64": dnp3.AnalogOutputDouble64,
}


def commanded(result):
    points = [[p.index, p.state.name, p.status.name] for p in result.to_list()]
    tell(command=result.summary.name, points=points)


class Master:
    def __init__(self, port, local, remote):
        self.manager = dnp3.DNP3Manager(1)
        seconds = dnp3.TimeDuration.Seconds
        self.channel = self.manager.AddTCPClient(
            "master",
            dnp3.LogLevels.none(),
            dnp3.ChannelRetry(dnp3.TimeDuration.Milliseconds(200), seconds(1)),
            [dnp3.IPEndpoint("127.0.0.1", int(port))],
            "127.0.0.1",
            None,
        )
        config = dnp3.MasterStackConfig()
        config.link.LocalAddr = int(local)
        config.link.RemoteAddr = int(remote)
        config.master.timeSyncMode = dnp3.TimeSyncMode.LAN
        config.master.disableUnsolOnStartup = True
        config.master.responseTimeout = seconds(20)
        self.values = Values()
        self.application = Application()
        self.master = self.channel.AddMaster("master", self.values, self.application, config)
        self.master.Enable()

    def scan(self, *headers):
        self.master.Scan([header(*h) for h in headers], self.values)

    def function(self, name, *headers):
        code = getattr(dnp3.FunctionCode, name)
        self.master.PerformFunction(name, code, [header(*h) for h in headers])

    def operate(self, how, index, kind, *arguments):
        command = COMMANDS[kind](*arguments)
        act = {"select": self.master.SelectAndOperate, "direct": self.master.DirectOperate}[how]
        act(command, index, commanded)

    def freeze(self, kind, *headers):
        kind = getattr(dnp3.FreezeType, kind)
        self.master.Freeze(kind, [header(*h) for h in headers])

    def restart(self, kind):
        def done(result):
            tell(restart=result.summary.name, delay=str(result.restartTime))

        self.master.Restart(getattr(dnp3.RestartType, kind), done)

    def dead_band(self, index, value):
        band = dnp3.IndexedAnalogInputDeadband()
        band.index = index
        band.value = dnp3.AnalogInputDeadband(value)
        self.master.WriteDeadBands([band], lambda result: tell(dead_band=str(result)))

    def link_status(self):
        self.master.CheckLinkStatus(lambda result: tell(link=str(result)))

    def stop(self):
        self.manager.Shutdown()


def header(group, variation, *span):
    if not span:
        return dnp3.Header.AllObjects(group, variation)
    if len(span) == 1:
        return dnp3.Header.Count8(group, variation, span[0])
    return dnp3.Header.Range16(group, variation, *span)


def main():
    match sys.argv[1:]:
        case ["master", *arguments]:
            peer = Master(*arguments)
        case _:
            sys.exit(__doc__)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        getattr(peer, name)(*arguments)
    peer.stop()


main()
