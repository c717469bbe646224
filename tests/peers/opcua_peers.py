"""OPC UA as others speak it: asyncua, for tests/peers_opcua.

opcua_peers.py tenant ENDPOINT CERTIFICATE KEY SERVER_CERTIFICATE [POLICY]    a client
opcua_peers.py area PORT CERTIFICATE KEY CLIENT_CERTIFICATE    a server with the tenant "north", whose
    user is north-user with the password north-word

Reads one JSON array a line from standard input, a command and its arguments, and writes what
happens as one JSON object a line; ends when standard input closes.
"""

import asyncio
import json
import logging
import sys

from asyncua import Client, Server, ua
from asyncua.crypto.permission_rules import SimpleRoleRuleset
from asyncua.server.user_managers import UserManager
from asyncua.crypto.permission_rules import User, UserRole

logging.disable(logging.CRITICAL)

FOLDER, TENANT = "urn:busbar:market", "urn:busbar:market:tenant"
TYPES = {
    "Boolean": ua.VariantType.Boolean,
    "UInt32": ua.VariantType.UInt32,
    "Int64": ua.VariantType.Int64,
    "Double": ua.VariantType.Double,
    "String": ua.VariantType.String,
}


def tell(**what):
    print(json.dumps(what), flush=True)


async def commands():
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield json.loads(line)


def plain(value):
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (bool, int, float, str)) or value is None:
        return value
    return str(value)


class Watch:
    """Of a subscription."""

    async def datachange_notification(self, node, value, data):
        tell(changed=node.nodeid.Identifier, value=plain(value))


class Tap:
    """Between asyncua and its socket: keeps the last octets that were sent."""

    def __init__(self, transport):
        self.transport, self.last = transport, b""

    def write(self, octets):
        self.last = bytes(octets)
        self.transport.write(octets)

    def __getattr__(self, name):
        return getattr(self.transport, name)


class Tenant:
    def __init__(self, endpoint, certificate, key, server, policy="Basic256Sha256,SignAndEncrypt"):
        self.endpoint, self.files, self.policy = endpoint, (certificate, key, server), policy
        self.client = None

    async def connect(self, user, password, certificate=None, key=None):
        client = Client(self.endpoint, timeout=10)
        if user is not None:
            client.set_user(user)
            client.set_password(password)
        if certificate is not None:
            await client.load_client_certificate(certificate)
            await client.load_private_key(key)
            # Whatever the server says that it takes.
            policy = ua.UserTokenPolicy("user", ua.UserTokenType.Certificate)
            policy.SecurityPolicyUri = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
            client.server_policy = lambda kind: policy
        if self.policy != "None":
            certificate, key, server = self.files
            await client.set_security_string(f"{self.policy},{certificate},{key},{server}")
        await client.connect()
        self.client = client
        # Where no namespace of tenants is shown, the next index is as good as any.
        self.namespaces = await client.get_namespace_array()
        at = self.namespaces.index(TENANT) if TENANT in self.namespaces else len(self.namespaces)
        self.at = at
        return self.namespaces

    async def endpoints(self):
        found = await Client(self.endpoint, timeout=10).connect_and_get_server_endpoints()
        return [[one.SecurityPolicyUri, one.SecurityMode.name] for one in found]

    def node(self, path):
        return self.client.get_node(ua.NodeId(path, self.at))

    async def browse(self):
        folder = await self.client.nodes.objects.get_child(f"{self.namespaces.index(FOLDER)}:Busbar")
        seen = []

        async def walk(node, depth):
            for child in await node.get_children():
                name = await child.read_browse_name()
                seen.append("/" * depth + name.Name)
                await walk(child, depth + 1)

        await walk(folder, 0)
        return seen

    async def children(self, path):
        return [child.nodeid.Identifier for child in await self.node(path).get_children()]

    async def read(self, path):
        return await self.node(path).read_value()

    async def write(self, path, value):
        await self.node(path).write_value(ua.Variant(value, ua.VariantType.Int64))

    async def watch(self, path):
        subscription = await self.client.create_subscription(100, Watch())
        await subscription.subscribe_data_change(self.node(path))

    async def arguments(self, path, which):
        given = await self.node(f"{path}/{which}").read_value()
        return [[one.Name, ua.VariantType(one.DataType.Identifier).name, one.ValueRank] for one in given]

    async def call(self, tenant, method, values):
        """With the types that the server says that it takes."""
        path = f"{tenant}/{method}"
        try:
            types = await self.arguments(path, "InputArguments")
        except ua.UaError:
            # Not ours to see; what it takes does not matter then.
            types = [[None, {bool: "Boolean", int: "Int64"}[type(value)], -1] for value in values]
        variants = [
            ua.Variant(value, TYPES[kind], is_array=rank == 1) for value, (_, kind, rank) in zip(values, types)
        ]
        return await self.node(tenant).call_method(self.node(path), *variants)

    async def replay(self):
        """Sends the octets of a request again, as somebody on the way would who cannot read them."""
        protocol = self.client.uaclient.protocol
        tap = Tap(protocol.transport)
        protocol.transport = tap
        await self.client.nodes.server_state.read_value()
        again = tap.last
        protocol.transport = tap.transport
        tap.transport.write(again)
        await asyncio.sleep(0.5)
        return await self.client.nodes.server_state.read_value()

    async def disconnect(self):
        client, self.client = self.client, None
        await client.disconnect()


async def tenant(*arguments):
    one = Tenant(*arguments)
    async for name, *values in commands():
        try:
            tell(done=name, result=plain(await getattr(one, name)(*values)))
        except (ua.UaError, OSError, asyncio.TimeoutError, ConnectionError) as error:
            tell(done=name, error=type(error).__name__, text=str(error))
    if one.client is not None:
        await one.disconnect()


class Users(UserManager):
    def get_user(self, iserver, username=None, password=None, certificate=None):
        if (username, password) == ("north-user", "north-word"):
            return User(role=UserRole.User, name="north")
        tell(refused=username)
        return None


class Area:
    """A market of few words: it takes everything, and says what it has taken."""

    async def start(self, port, certificate, key, client):
        server = self.server = Server(user_manager=Users())
        await server.init()
        server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/")
        await server.set_application_uri("urn:busbar:test:area")
        server.set_security_policy(
            [ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt], permission_ruleset=SimpleRoleRuleset()
        )
        await server.load_certificate(certificate)
        await server.load_private_key(key)
        folder = await server.register_namespace(FOLDER)
        self.at = await server.register_namespace(TENANT)
        busbar = await server.nodes.objects.add_folder(ua.NodeId("Busbar", folder), f"{folder}:Busbar")
        north = await busbar.add_object(self.id("north"), f"{self.at}:north")
        held = await north.add_object(self.id("north/Held"), f"{self.at}:Held")
        self.variables = {}
        for name, kind, value in [
            ("intervals", "Int64", []),
            ("revisions", "UInt32", []),
            ("publication", "UInt32", 0),
        ]:
            self.variables[name] = (
                await held.add_variable(
                    self.id(f"north/Held/{name}"),
                    f"{self.at}:{name}",
                    ua.Variant(value, TYPES[kind], is_array=isinstance(value, list)),
                ),
                kind,
            )
        self.awards = {}
        for name in ["SubmitBid", "SubmitClosing", "SubmitTotal", "Acknowledge", "GetAward"]:
            await north.add_method(self.id(f"north/{name}"), f"{self.at}:{name}", self.method(name))
        await server.start()

    def id(self, path):
        return ua.NodeId(path, self.at)

    def method(self, name):
        def called(parent, *values):
            if name == "GetAward":
                award = self.awards[values[0].Value]
                kinds = ["Boolean", "Int64", "UInt32", "UInt32"] + 6 * ["Int64"] + ["Boolean", "Int64", "String", "Int64"]
                return [
                    ua.Variant(value, TYPES[kind], is_array=isinstance(value, list))
                    for value, kind in zip([True, *award], kinds)
                ]
            tell(called=name, values=[plain(value.Value) for value in values])
            if name == "Acknowledge":
                return []
            account = "a1" * 32 if name == "SubmitTotal" else ""
            answer = [(0, "UInt32"), (0, "Int64"), ("", "String"), (account, "String")]
            return [ua.Variant(value, TYPES[kind]) for value, kind in answer]

        return called

    async def award(self, *award):
        self.awards[award[0]] = list(award)
        held = sorted(self.awards)
        values = {
            "intervals": held,
            "revisions": [self.awards[interval][1] for interval in held],
            "publication": await self.variables["publication"][0].read_value() + 1,
        }
        for name, value in values.items():
            node, kind = self.variables[name]
            await node.write_value(ua.Variant(value, TYPES[kind], is_array=isinstance(value, list)))


async def area(port, certificate, key, client):
    one = Area()
    await one.start(port, certificate, key, client)
    tell(started=port)
    async for name, *values in commands():
        tell(done=name, result=plain(await getattr(one, name)(*values)))
    await one.server.stop()


if __name__ == "__main__":
    role, *arguments = sys.argv[1:]
    asyncio.run({"tenant": tenant, "area": area}[role](*arguments))
