"""IEC 60870-5-104 as others speak it: lib60870 (c104), for tests/peers_iec104.

iec104_peers.py master HOST PORT plain|timed    lib60870's controlling station, which knows points of
    address 1 to 9 of common address 3, of types without time or with; more are learnt as they come
iec104_peers.py master HOST PORT STATION    the same, which knows the points of STATION, {"address": common
    address, "points": {type: [addresses]}}, and no others
    both with CERTIFICATE KEY AUTHORITIES behind it: through OpenSSL. lib60870's own client gives mbed TLS no
    name to check, which then refuses every certificate (-0x5D80)
iec104_peers.py station [PORT [CERTIFICATE KEY AUTHORITIES]]    lib60870's controlled station, common address 3,
    with its own TLS

Reads one JSON array a line from standard input, a command and its arguments, and writes what
happens as one JSON object a line; ends when standard input closes.
"""

import datetime
import json
import socket
import ssl
import sys
import threading

import c104

lock = threading.Lock()

KINDS = ["SP", "DP", "ST", "BO", "ME_NA", "ME_NB", "ME_NC", "IT"]
PLAIN = ["M_SP_NA_1", "M_DP_NA_1", "M_ST_NA_1", "M_BO_NA_1", "M_ME_NA_1", "M_ME_NB_1", "M_ME_NC_1", "M_IT_NA_1"]
TIMED = ["M_SP_TB_1", "M_DP_TB_1", "M_ST_TB_1", "M_BO_TB_1", "M_ME_TD_1", "M_ME_TE_1", "M_ME_TF_1", "M_IT_TB_1"]
COMMANDS = ["C_SC_NA_1", "C_DC_NA_1", "C_RC_NA_1", "C_SE_NA_1", "C_SE_NB_1", "C_SE_NC_1"]


def tell(**what):
    with lock:
        print(json.dumps(what), flush=True)


def plain(value):
    """A value of lib60870's as JSON knows it."""
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    if isinstance(value, (c104.Double, c104.Step)):
        return value.name
    if isinstance(value, c104.NormalizedFloat):
        return float(value)
    if isinstance(value, c104.Byte32):
        return int.from_bytes(bytes(value), "little")
    return int(value)


def milliseconds(time):
    if time is None:
        return None
    moment = time.value if hasattr(time, "value") else time
    return round(moment.timestamp() * 1000)


def quality(of):
    return sorted(name for name in dir(of) if name[0].isupper() and (getattr(type(of), name) & of).is_any())


def moment(unix_ms):
    return datetime.datetime.fromtimestamp(unix_ms / 1000, datetime.timezone.utc)


def information(kind, value, flags, unix_ms):
    """What a point holds."""
    of = c104.BinaryCounterQuality() if kind == "IT" else c104.Quality()
    for flag in flags:
        of |= getattr(type(of), flag)
    at = {"quality": of, "recorded_at": moment(unix_ms) if unix_ms else None}
    if kind == "SP":
        return c104.SingleInfo(bool(value), **at)
    if kind == "DP":
        return c104.DoubleInfo(getattr(c104.Double, value), **at)
    if kind == "ST":
        return c104.StepInfo(c104.Int7(value), False, **at)
    if kind == "BO":
        return c104.BinaryInfo(c104.Byte32(value), **at)
    if kind == "ME_NA":
        return c104.NormalizedInfo(c104.NormalizedFloat(value), **at)
    if kind == "ME_NB":
        return c104.ScaledInfo(c104.Int16(value), **at)
    if kind == "ME_NC":
        return c104.ShortInfo(value, **at)
    return c104.BinaryCounterInfo(value, c104.UInt5(0), **at)


def command_of(kind, value, unix_ms):
    at = {"recorded_at": moment(unix_ms) if unix_ms else None}
    if kind.startswith("C_SC"):
        return c104.SingleCmd(bool(value), **at)
    if kind.startswith("C_DC"):
        return c104.DoubleCmd(getattr(c104.Double, value), **at)
    if kind.startswith("C_RC"):
        return c104.StepCmd(getattr(c104.Step, value), **at)
    if kind.startswith(("C_SE_NA", "C_SE_TA")):
        return c104.NormalizedCmd(c104.NormalizedFloat(value), **at)
    if kind.startswith(("C_SE_NB", "C_SE_TB")):
        return c104.ScaledCmd(c104.Int16(value), **at)
    return c104.ShortCmd(value, **at)


def frame(data, **more):
    """An I frame as lib60870 reads it, with the octets of its objects."""
    seen = c104.explain_bytes_dict(data)
    if seen["format"] == "I":
        kind, cot = seen["type"], seen["cot"]
        tell(
            frame=kind.name if hasattr(kind, "name") else str(kind),
            cot=cot.value if hasattr(cot, "value") else str(cot),
            negative=seen["negative"],
            test=seen["test"],
            address=seen["commonAddress"],
            objects=list(data[12:]),
            **more,
        )


def through_tls(host, port, certificate, key, authorities):
    """A port that leads to another under TLS."""
    context = ssl.create_default_context(cafile=authorities)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def pass_on(source, sink):
        try:
            while data := source.recv(4096):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept():
        while True:
            near, _ = listener.accept()
            try:
                far = context.wrap_socket(socket.create_connection((host, port)), server_hostname=host)
            except OSError as error:
                tell(refused=str(error))
                near.close()
                continue
            for way in ((near, far), (far, near)):
                threading.Thread(target=pass_on, args=way, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    return listener.getsockname()[1]


class Master:
    def __init__(self, host, port, types="plain", certificate=None, key=None, authorities=None):
        if certificate:
            host, port = "127.0.0.1", through_tls(host, int(port), certificate, key, authorities)
        self.client = c104.Client(tick_rate_ms=50, command_timeout_ms=5000)
        self.connection = self.client.add_connection(ip=host, port=int(port), init=c104.Init.NONE)
        self.connection.on_receive_raw(callable=self.raw)
        self.connection.on_state_change(callable=self.state)
        self.connection.on_unexpected_message(callable=self.unexpected)
        self.client.on_station_initialized(callable=self.initialised)
        self.client.on_new_station(callable=self.new_station)
        if types in ("plain", "timed"):
            self.client.on_new_point(callable=self.new_point)
            names = TIMED if types == "timed" else PLAIN
            known, address = [(name, [ioa]) for ioa, name in enumerate(names + names[:1], 1)], 3
        else:
            given = json.loads(types)
            known, address = given["points"].items(), given["address"]
        station = self.connection.add_station(common_address=address)
        for name, addresses in known:
            for ioa in addresses:
                point = station.add_point(io_address=ioa, type=getattr(c104.Type, name))
                point.on_receive(callable=self.received)
        self.client.start()

    def raw(self, connection: c104.Connection, data: bytes) -> None:
        frame(data)

    def state(self, connection: c104.Connection, state: c104.ConnectionState) -> None:
        tell(state=state.name)
        if state == c104.ConnectionState.OPEN_MUTED:
            threading.Timer(2.0, self.start_data_transfer).start()

    def start_data_transfer(self) -> None:
        # Now and then c104 opens a connection and never sends STARTDT.
        if self.connection.state == c104.ConnectionState.OPEN_MUTED:
            tell(unmuted=self.connection.unmute())

    def unexpected(self, connection: c104.Connection, message: c104.IncomingMessage, cause: c104.Umc) -> None:
        tell(unexpected=cause.name, type=message.type.name)

    def initialised(self, client: c104.Client, station: c104.Station, cause: c104.Coi) -> None:
        tell(initialised=station.common_address)

    def new_station(self, client: c104.Client, connection: c104.Connection, common_address: int) -> None:
        connection.add_station(common_address=common_address)

    def new_point(self, client: c104.Client, station: c104.Station, io_address: int, point_type: c104.Type) -> None:
        point = station.add_point(io_address=io_address, type=point_type)
        point.on_receive(callable=self.received)

    def received(self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        info = message.info
        tell(
            point=point.io_address,
            type=message.type.name,
            cot=message.cot.value,
            value=plain(info.value),
            quality=quality(info.quality),
            time=milliseconds(info.recorded_at),
        )
        return c104.ResponseState.SUCCESS

    def command(self, address, ioa, kind, value, select, unix_ms=None):
        station = self.connection.get_station(common_address=address)
        if station is None:
            station = self.connection.add_station(common_address=address)
        point = station.get_point(io_address=ioa)
        mode = c104.CommandMode.SELECT_AND_EXECUTE if select else c104.CommandMode.DIRECT
        if point is None:
            point = station.add_point(io_address=ioa, type=getattr(c104.Type, kind), command_mode=mode)
        point.command_mode = mode
        point.info = command_of(kind, value, unix_ms)
        return point.transmit(cause=c104.Cot.ACTIVATION)

    def run(self, name, arguments):
        connection = self.connection
        if name == "interrogate":
            address, group = arguments
            return connection.interrogation(common_address=address, qualifier=c104.Qoi(group))
        if name == "counters":
            address, which, freeze = arguments
            return connection.counter_interrogation(
                common_address=address, qualifier=c104.Rqt(which), freeze=c104.Frz(freeze)
            )
        if name == "clock":
            return connection.clock_sync(common_address=arguments[0])
        if name == "test":
            return connection.test(common_address=arguments[0], with_time=arguments[1])
        if name == "read":
            address, ioa = arguments
            return connection.get_station(common_address=address).get_point(io_address=ioa).read()
        if name == "command":
            return self.command(*arguments)
        if name == "disconnect":
            connection.disconnect()
            return True
        if name == "connect":
            connection.connect()
            return True
        raise ValueError(name)


class Station:
    def __init__(self, port, certificate=None, key=None, authorities=None):
        security = None
        if certificate:
            security = c104.TransportSecurity(validate=True, only_known=False)
            security.set_certificate(cert=certificate, key=key)
            security.set_ca_certificate(cert=authorities)
        self.server = c104.Server(
            ip="127.0.0.1", port=int(port), tick_rate_ms=50, select_timeout_ms=10000, transport_security=security
        )
        self.server.on_clock_sync(callable=self.clock)
        self.server.on_receive_raw(callable=self.raw)
        self.station = self.server.add_station(common_address=3)
        for kind, name in enumerate(PLAIN):
            self.station.add_point(io_address=1 + kind, type=getattr(c104.Type, name))
        for kind, name in enumerate(TIMED):
            self.station.add_point(io_address=11 + kind, type=getattr(c104.Type, name))
        for kind, name in enumerate(COMMANDS):
            mode = c104.CommandMode.SELECT_AND_EXECUTE if name.startswith("C_DC") else c104.CommandMode.DIRECT
            point = self.station.add_point(io_address=101 + kind, type=getattr(c104.Type, name), command_mode=mode)
            point.on_receive(callable=self.received)

    def start(self):
        self.server.start()

    def clock(self, server: c104.Server, ip: str, date_time: datetime.datetime) -> c104.ResponseState:
        tell(clock=milliseconds(date_time))
        return c104.ResponseState.SUCCESS

    def raw(self, server: c104.Server, data: bytes) -> None:
        frame(data, received=True)

    def received(self, point: c104.Point, previous_info: c104.Information, message: c104.IncomingMessage) -> c104.ResponseState:
        value = plain(message.info.value)
        tell(command=point.io_address, type=message.type.name, value=value, select=message.is_select_command)
        if isinstance(value, float) and value > 0.9 and point.io_address == 104:
            return c104.ResponseState.FAILURE
        return c104.ResponseState.SUCCESS

    def run(self, name, arguments):
        if name == "set":
            ioa, value, flags, unix_ms = arguments
            point = self.station.get_point(io_address=ioa)
            point.info = information(KINDS[(ioa - 1) % 10], value, flags, unix_ms)
            return True
        if name == "transmit":
            point = self.station.get_point(io_address=arguments[0])
            return point.transmit(cause=c104.Cot.SPONTANEOUS)
        raise ValueError(name)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    role, *arguments = sys.argv[1:]
    if role == "master":
        peer = Master(*arguments)
    else:
        port, *files = arguments or ["0"]
        port = free_port() if port == "0" else port
        peer = Station(port, *files)
        peer.start()
        tell(port=int(port))
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        if name == "mark":
            tell(mark=True)
        else:
            tell(done=name, ok=bool(peer.run(name, arguments)))
    if role == "master":
        peer.client.stop()
    else:
        peer.server.stop()


main()
