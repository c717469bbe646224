"""IEC 61850 as others speak it: libiec61850 1.6 (pyiec61850-ng), for tests/peers_iec61850.

iec61850_peers.py server [PORT [CERTIFICATE KEY AUTHORITY]]    libiec61850's server, IED `PEER`
iec61850_peers.py client HOST PORT                             libiec61850's client

Reads one JSON array a line from standard input, a command and its arguments, and writes what
happens as one JSON object a line; ends when standard input closes.
"""

import json
import os
import socket
import sys
import threading

import pyiec61850.pyiec61850 as p

lock = threading.Lock()


def tell(**what):
    with lock:
        print(json.dumps(what), flush=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Check(p.CheckHandlerForPython):
    """Whether an order is let through: libiec61850 asks before each select and operate."""

    def __init__(self, server, name):
        p.CheckHandlerForPython.__init__(self)
        self.server, self.name = server, name

    def trigger(self):
        action = self._libiec61850_control_action
        refusal = self.server.refusals.get(self.name)
        if refusal is None:
            self._libiec61850_check_handler_result = p.CONTROL_ACCEPTED
            return
        p.ControlAction_setAddCause(action, getattr(p, "ADD_CAUSE_" + refusal))
        self._libiec61850_check_handler_result = p.CONTROL_OBJECT_ACCESS_DENIED


class Operate(p.ControlHandlerForPython):
    """Carries an order out."""

    def __init__(self, server, name):
        p.ControlHandlerForPython.__init__(self)
        self.server, self.name = server, name

    def trigger(self):
        action, value = self._libiec61850_control_action, self._libiec61850_mms_value
        kind = p.MmsValue_getType(value)
        if kind == p.MMS_BOOLEAN:
            value = p.MmsValue_getBoolean(value)
        elif kind == p.MMS_STRUCTURE:
            value = p.MmsValue_toFloat(p.MmsValue_getElement(value, 0))
        else:
            value = p.MmsValue_toInt32(value)
        tell(operated=self.name, value=value, category=p.ControlAction_getOrCat(action))
        failure = self.server.failures.get(self.name)
        if failure is None:
            self._libiec61850_control_handler_result = p.CONTROL_RESULT_OK
            return
        p.ControlAction_setAddCause(action, getattr(p, "ADD_CAUSE_" + failure))
        self._libiec61850_control_handler_result = p.CONTROL_RESULT_FAILED


class Server:
    """LD0 with measured values, a counter, a position, objects of all control models, and reports."""

    CONTROLS = {
        "CSWI1.Pos": ("DPC", "SBO_ENHANCED"),
        "GGIO1.SPCSO1": ("SPC", "DIRECT_NORMAL"),
        "GGIO1.SPCSO2": ("SPC", "SBO_NORMAL"),
        "GGIO1.SPCSO3": ("SPC", "DIRECT_ENHANCED"),
        "GGIO1.ISCSO1": ("INC", "DIRECT_NORMAL"),
        "GGIO1.AnOut1": ("APC", "DIRECT_NORMAL"),
    }

    def __init__(self, port, tls):
        self.refusals, self.failures, self.kept = {}, {}, []
        self.model = p.IedModel_create("PEER")
        device = p.LogicalDevice_create("LD0", self.model)
        nodes = {name: p.LogicalNode_create(name, device) for name in ["LLN0", "MMXU1", "MMTR1", "XCBR1", "CSWI1", "GGIO1"]}
        parent = {name: p.toModelNode(node) for name, node in nodes.items()}
        p.CDC_ENS_create("Mod", parent["LLN0"], 0)
        p.CDC_MV_create("TotW", parent["MMXU1"], 0, False)
        p.CDC_WYE_create("PhV", parent["MMXU1"], 0)
        p.CDC_BCR_create("SupWh", parent["MMTR1"], 0)
        p.CDC_DPS_create("Pos", parent["XCBR1"], 0)
        p.CDC_SPS_create("Ind1", parent["GGIO1"], 0)
        p.CDC_ASG_create("Set1", parent["GGIO1"], 0, False)
        for name, (cdc, model) in self.CONTROLS.items():
            node, name = name.split(".")
            options = getattr(p, "CDC_CTL_MODEL_" + model) | p.CDC_CTL_OPTION_ORIGIN | p.CDC_CTL_OPTION_CTL_NUM
            create = getattr(p, f"CDC_{cdc}_create")
            arguments = [False] if cdc == "APC" else []
            create(name, parent[node], 0, options, *arguments)
        status = p.DataSet_create("dsStatus", nodes["LLN0"])
        for member in ["XCBR1$ST$Pos", "GGIO1$ST$Ind1$stVal", "GGIO1$ST$Ind1$q", "GGIO1$ST$Ind1$t"]:
            p.DataSetEntry_create(status, member, -1, None)
        measured = p.DataSet_create("dsMeas", nodes["LLN0"])
        for member in ["MMXU1$MX$TotW", "MMXU1$MX$PhV", "MMTR1$ST$SupWh"]:
            p.DataSetEntry_create(measured, member, -1, None)
        every = p.TRG_OPT_DATA_CHANGED | p.TRG_OPT_QUALITY_CHANGED | p.TRG_OPT_GI
        fields = p.RPT_OPT_SEQ_NUM | p.RPT_OPT_TIME_STAMP | p.RPT_OPT_REASON_FOR_INCLUSION | p.RPT_OPT_DATA_SET
        buffered = fields | p.RPT_OPT_ENTRY_ID | p.RPT_OPT_BUFFER_OVERFLOW
        p.ReportControlBlock_create("brcb01", nodes["LLN0"], "Status", True, "dsStatus", 1, every, buffered, 0, 0)
        p.ReportControlBlock_create("urcb01", nodes["LLN0"], "Measured", False, "dsMeas", 1, every | p.TRG_OPT_INTEGRITY, fields, 50, 1000)
        if tls:
            certificate, key, authority = tls
            self.tls = p.TLSConfiguration_create()
            p.TLSConfiguration_setChainValidation(self.tls, True)
            p.TLSConfiguration_setAllowOnlyKnownCertificates(self.tls, False)
            read = [
                p.TLSConfiguration_setOwnKeyFromFile(self.tls, key, None),
                p.TLSConfiguration_setOwnCertificateFromFile(self.tls, certificate),
                p.TLSConfiguration_addCACertificateFromFile(self.tls, authority),
            ]
            if not all(read):
                raise SystemExit(f"libiec61850 does not read the TLS files: {read}")
            self.server = p.IedServer_createWithTlsSupport(self.model, self.tls)
        else:
            self.server = p.IedServer_create(self.model)
        for name in self.CONTROLS:
            subscriber = p.ControlSubscriberForPython()
            subscriber.setIedServer(self.server)
            subscriber.setControlObject(p.toDataObject(self.node(name)))
            handlers = Check(self, name), Operate(self, name)
            subscriber.setCheckHandler(handlers[0])
            subscriber.setControlHandler(handlers[1])
            if not subscriber.subscribe():
                raise SystemExit(f"no handler for {name}")
            self.kept.append((subscriber, handlers))
        p.IedServer_start(self.server, port)
        if not p.IedServer_isRunning(self.server):
            raise SystemExit("libiec61850's server does not start")

    def node(self, name):
        return p.IedModel_getModelNodeByObjectReference(self.model, f"PEERLD0/{name}")

    def attribute(self, name):
        return p.toDataAttribute(self.node(name))

    def run(self, name, arguments):
        if name == "set":
            self.set(*arguments)
        elif name == "refuse":
            self.refusals[arguments[0]] = arguments[1]
        elif name == "fail":
            self.failures[arguments[0]] = arguments[1]
        else:
            raise SystemExit(f"no command {name}")

    def set(self, name, kind, value, unix_ms, quality=0):
        """A value with its quality and time, which come first: the value makes the report."""
        path = name.split(".")
        above = next(".".join(path[:k]) for k in range(len(path) - 1, 0, -1) if self.node(".".join(path[:k] + ["q"])))
        p.IedServer_lockDataModel(self.server)
        p.IedServer_updateUTCTimeAttributeValue(self.server, self.attribute(above + ".t"), unix_ms)
        p.IedServer_updateQuality(self.server, self.attribute(above + ".q"), quality)
        attribute = self.attribute(name)
        if kind == "float":
            p.IedServer_updateFloatAttributeValue(self.server, attribute, value)
        elif kind == "boolean":
            p.IedServer_updateBooleanAttributeValue(self.server, attribute, value)
        elif kind == "int64":
            p.IedServer_updateInt64AttributeValue(self.server, attribute, value)
        else:
            p.IedServer_updateDbposValue(self.server, attribute, value)
        p.IedServer_unlockDataModel(self.server)


def plain(value):
    """A value of libiec61850's as JSON knows it."""
    kind = p.MmsValue_getType(value)
    if kind == p.MMS_BOOLEAN:
        return p.MmsValue_getBoolean(value)
    if kind == p.MMS_FLOAT:
        return p.MmsValue_toFloat(value)
    if kind in (p.MMS_INTEGER, p.MMS_UNSIGNED):
        return p.MmsValue_toInt64(value)
    if kind == p.MMS_BIT_STRING:
        size = p.MmsValue_getBitStringSize(value)
        return "".join(str(int(p.MmsValue_getBitStringBit(value, bit))) for bit in range(size))
    if kind == p.MMS_UTC_TIME:
        return p.MmsValue_getUtcTimeInMs(value)
    if kind in (p.MMS_STRUCTURE, p.MMS_ARRAY):
        return [plain(p.MmsValue_getElement(value, k)) for k in range(p.MmsValue_getArraySize(value))]
    if kind == p.MMS_VISIBLE_STRING:
        return p.MmsValue_toString(value)
    return None


class Reports(p.RCBHandler):
    def __init__(self):
        p.RCBHandler.__init__(self)

    def trigger(self):
        report = self._client_report
        values = p.ClientReport_getDataSetValues(report)
        members = {}
        for k in range(p.MmsValue_getArraySize(values)):
            reason = p.ClientReport_getReasonForInclusion(report, k)
            if reason != 0:
                members[k] = plain(p.MmsValue_getElement(values, k))
        time = p.ClientReport_getTimestamp(report) if p.ClientReport_hasTimestamp(report) else None
        tell(report=p.ClientReport_getRptId(report), members=members, time=time)


class Client:
    def __init__(self, host, port):
        self.kept, self.lost = [], []
        # libiec61850 1.6 starts its thread before it notes that it is connecting: where the server answers at
        # once, as on this machine, that note may overwrite the thread's that it is connected. It then sends
        # nothing for ever and calls the connection lost, which it is not. Another attempt is all that helps.
        for attempt in range(1, 11):
            self.connection = p.IedConnection_create()
            connected = p.IedConnection_connect(self.connection, host, port)[1] == p.IED_ERROR_OK
            if not connected or p.IedConnection_getLogicalDeviceList(self.connection)[1] != p.IED_ERROR_CONNECTION_LOST:
                break
            # It holds its connection until it ends: destroying it would wait for its thread.
            self.lost.append(self.connection)
        tell(connected=connected, attempts=attempt)

    def run(self, name, arguments):
        getattr(self, name)(*arguments)

    def read(self, reference, constraint):
        value, error = p.IedConnection_readObject(self.connection, reference, getattr(p, "IEC61850_FC_" + constraint))
        tell(read=reference, value=plain(value) if value else None, error=error)

    def browse(self):
        devices, error = p.IedConnection_getLogicalDeviceList(self.connection)
        names = []
        element = p.LinkedList_getNext(devices)
        while element:
            names.append(p.toCharP(element.data))
            element = p.LinkedList_getNext(element)
        tell(devices=names, error=error)

    def reports(self, reference, identity):
        block = p.ClientReportControlBlock_create(reference)
        _, error = p.IedConnection_getRCBValues(self.connection, reference, block)
        if error != p.IED_ERROR_OK:
            tell(enabled=reference, error=error)
            return
        handler, subscriber = Reports(), p.RCBSubscriber()
        subscriber.setIedConnection(self.connection)
        subscriber.setRcbReference(reference)
        subscriber.setRcbRptId(identity or p.ClientReportControlBlock_getRptId(block))
        subscriber.setEventHandler(handler)
        subscriber.subscribe()
        self.kept.append((handler, subscriber, block))
        # In one request, and the last: the binding waits for answers without letting a report's handler run.
        p.ClientReportControlBlock_setRptEna(block, True)
        p.ClientReportControlBlock_setGI(block, True)
        what = p.RCB_ELEMENT_RPT_ENA | p.RCB_ELEMENT_GI
        _, error = p.IedConnection_setRCBValues(self.connection, block, what, True)
        tell(enabled=reference, error=error)

    def operate(self, reference, kind, value):
        control = p.ControlObjectClient_create(reference, self.connection)
        if not control:
            tell(operate=reference, error="no control object")
            return
        raw = p.MmsValue_newBoolean(value) if kind == "boolean" else p.MmsValue_newIntegerFromInt32(value)
        model = p.ControlObjectClient_getControlModel(control)
        p.ControlObjectClient_setOrigin(control, "peer", 3)
        selected = True
        if model == p.CONTROL_MODEL_SBO_ENHANCED:
            selected = p.ControlObjectClient_selectWithValue(control, raw)
        elif model == p.CONTROL_MODEL_SBO_NORMAL:
            selected = p.ControlObjectClient_select(control)
        done = selected and p.ControlObjectClient_operate(control, raw, 0)
        failed = p.ControlObjectClient_getLastApplError(control)
        tell(operate=reference, model=model, selected=selected, done=done, cause=failed.addCause)


def main():
    role, *arguments = sys.argv[1:]
    if role == "server":
        port = int(arguments[0]) if arguments and arguments[0] != "0" else free_port()
        peer = Server(port, arguments[1:])
        tell(port=port)
    else:
        peer = Client(arguments[0], int(arguments[1]))
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        if name == "mark":
            tell(mark=True)
            continue
        peer.run(name, arguments)
        tell(done=name)
    sys.stdout.flush()
    # The binding's objects and the library's threads are taken down in no order that both survive; the sockets
    # close all the same.
    os._exit(0)


main()
