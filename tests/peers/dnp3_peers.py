"""DNP3 as others speak it: opendnp3 (yadnp3), for tests/peers_dnp3.

dnp3_peers.py master PORT LOCAL REMOTE [HOST [CERTIFICATE KEY AUTHORITIES]]   opendnp3's master
dnp3_peers.py outstation LOCAL REMOTE [PORT [EVENTS]]   opendnp3's outstation, five points a kind

Reads one JSON array a line from standard input, a command and its arguments, and writes what
happens as one JSON object a line; ends when standard input closes.
"""

import json
import socket
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
    def __init__(self, port, local, remote, host="127.0.0.1", *tls):
        self.manager = dnp3.DNP3Manager(1)
        seconds = dnp3.TimeDuration.Seconds
        arguments = [
            "master",
            dnp3.LogLevels.none(),
            dnp3.ChannelRetry(dnp3.TimeDuration.Milliseconds(200), seconds(1)),
            [dnp3.IPEndpoint(host, int(port))],
            "127.0.0.1",
        ]
        if tls:
            certificate, key, authorities = tls
            config = dnp3.TLSConfig(authorities, certificate, key)
            self.channel = self.manager.AddTLSClient(*arguments, config, None)
        else:
            self.channel = self.manager.AddTCPClient(*arguments, None)
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


class Commands(dnp3.ICommandHandler):
    """Answers every command with the status it was told to give."""

    def __init__(self):
        super().__init__()
        self.select = self.operate = dnp3.CommandStatus.SUCCESS

    def Begin(self):
        pass

    def End(self):
        pass

    def Select(self, command, index):
        tell(select=described(command), index=index)
        return self.select

    def Operate(self, command, index, _database, how):
        tell(operate=described(command), index=index, how=how.name)
        return self.operate


def described(command):
    if isinstance(command, dnp3.ControlRelayOutputBlock):
        return [command.opType.name, command.tcc.name, command.count, command.onTimeMS]
    return [type(command).__name__, command.value]


class OutstationApplication(dnp3.IOutstationApplication):
    def __init__(self):
        super().__init__()
        self.need_time = False

    def GetApplicationIIN(self):
        iin = dnp3.ApplicationIIN()
        iin.needTime = self.need_time
        return iin

    def SupportsWriteAbsoluteTime(self):
        return True

    def WriteAbsoluteTime(self, timestamp):
        self.need_time = False
        tell(time=timestamp.msSinceEpoch)
        return True

    def SupportsAssignClass(self):
        return True

    def RecordClassAssignment(self, kind, clazz, start, stop):
        tell(assigned=kind.name, clazz=clazz.name, start=start, stop=stop)

    def ColdRestartSupport(self):
        return dnp3.RestartMode.SUPPORTED_DELAY_COARSE

    def ColdRestart(self):
        tell(restarting="cold")
        return 65


def stated(measured, bits, flags, time_):
    """For types that want their state in the flags too."""
    measured.flags = dnp3.Flags(flags.value | bits)
    measured.time = time_
    return measured


def double(value, flags, time_):
    state = getattr(dnp3.DoubleBit, value)
    return stated(dnp3.DoubleBitBinary(state), state.value << 6, flags, time_)


def output(value, flags, time_):
    return stated(dnp3.BinaryOutputStatus(value), value << 7, flags, time_)


def analog_output(value, flags, time_):
    return stated(dnp3.AnalogOutputStatus(value), 0, flags, time_)


MEASURED = {
    "binary": dnp3.Binary,
    "double": double,
    "analog": dnp3.Analog,
    "counter": dnp3.Counter,
    "binary_output": output,
    "analog_output": analog_output,
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Outstation:
    def __init__(self, local, remote, port=0, events=100):
        self.manager = dnp3.DNP3Manager(1)
        port = int(port) or free_port()
        self.channel = self.manager.AddTCPServer(
            "outstation",
            dnp3.LogLevels.none(),
            dnp3.ServerAcceptMode.CloseExisting,
            dnp3.IPEndpoint("127.0.0.1", port),
            None,
        )
        config = dnp3.OutstationStackConfig(dnp3.DatabaseConfig(5))
        config.outstation.eventBufferConfig = dnp3.EventBufferConfig.AllTypes(int(events))
        config.outstation.params.allowUnsolicited = True
        config.link.LocalAddr = int(local)
        config.link.RemoteAddr = int(remote)
        self.commands = Commands()
        self.application = OutstationApplication()
        self.outstation = self.channel.AddOutstation(
            "outstation", self.commands, self.application, config
        )
        self.outstation.Enable()
        tell(port=port)

    def update(self, *measurements):
        builder = dnp3.UpdateBuilder()
        for kind, index, value, flags, ms in measurements:
            time_ = dnp3.DNPTime(ms, dnp3.TimestampQuality.SYNCHRONIZED)
            builder.Update(MEASURED[kind](value, dnp3.Flags(flags), time_), index)
        self.outstation.Apply(builder.Build())

    def answer(self, select, operate):
        self.commands.select = getattr(dnp3.CommandStatus, select)
        self.commands.operate = getattr(dnp3.CommandStatus, operate)

    def need_time(self):
        self.application.need_time = True

    def mark(self):
        tell(mark=True)

    def restarted(self):
        self.outstation.SetRestartIIN()

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
        case ["outstation", *arguments]:
            peer = Outstation(*arguments)
        case _:
            sys.exit(__doc__)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        getattr(peer, name)(*arguments)
    peer.stop()


main()
