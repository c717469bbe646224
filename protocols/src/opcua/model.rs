//! The information model: one table of what each tenant's part of the address space has in it. The server
//! builds its nodes from it, the client its calls, and [`nodeset`](super::nodeset) the XML for others.
//!
//! Browse names are those of the market's CIM (IEC 62325-351 and the market documents of IEC 62325-451)
//! where that has the thing: `timeInterval.start`, `revisionNumber`, `quantity`, `price.amount`.

/// Of the folder that all are in.
pub const NAMESPACE: &str = "urn:busbar:market";
/// Of what each tenant has; a tenant sees its own only.
pub const TENANT_NAMESPACE: &str = "urn:busbar:market:tenant";
/// The folder in `Objects` that the tenant's object is in.
pub const FOLDER: &str = "Busbar";

/// A built-in type of OPC UA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `Boolean`.
    Boolean,
    /// `UInt32`.
    UInt32,
    /// `Int64`.
    Int64,
    /// `Double`.
    Double,
    /// `String`.
    String,
}

/// An argument of a method, or a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// Browse name.
    pub name: &'static str,
    /// Type of it, or of its elements.
    pub kind: Kind,
    /// Whether it is an array of one dimension.
    pub array: bool,
    /// What it means, with its unit.
    pub text: &'static str,
}

/// A method of a tenant's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Method {
    /// Browse name.
    pub name: &'static str,
    /// What it does.
    pub text: &'static str,
    /// What it takes.
    pub inputs: &'static [Field],
    /// What it gives.
    pub outputs: &'static [Field],
}

/// An object with variables, below a tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object {
    /// Browse name.
    pub name: &'static str,
    /// What it is.
    pub text: &'static str,
    /// What is in it.
    pub variables: &'static [Field],
}

const fn one(name: &'static str, kind: Kind, text: &'static str) -> Field {
    let array = false;
    Field {
        name,
        kind,
        array,
        text,
    }
}

const fn many(name: &'static str, kind: Kind, text: &'static str) -> Field {
    let array = true;
    Field {
        name,
        kind,
        array,
        text,
    }
}

const START: Field = one(
    "timeInterval.start",
    Kind::Int64,
    "start of the interval, seconds of UTC since 1970",
);
const REVISION: Field = one(
    "revisionNumber",
    Kind::UInt32,
    "of this interval's documents of this kind: the same again is the same document",
);

const ACKNOWLEDGEMENT: &[Field] = &[
    one(
        "Reason.code",
        Kind::UInt32,
        "0 taken; 1 revision not above the one held; 2 too late; 3 makes no sense; 4 not kept, send again",
    ),
    one(
        "Reason.value",
        Kind::Int64,
        "with 1 the revision that is held, with 2 when the gate closed, s; else 0",
    ),
    one("Reason.text", Kind::String, "why, in words"),
    one(
        "account",
        Kind::String,
        "of a total: SHA-256 of the interval's account, 64 hexadecimal digits; else empty",
    ),
];

const AWARD: &[Field] = &[
    START,
    REVISION,
    one(
        "bid.revisionNumber",
        Kind::UInt32,
        "of the bid that it answers",
    ),
    one("quantity", Kind::Int64, "exchange, W, import-positive"),
    one(
        "price.amount",
        Kind::Int64,
        "price of it, 1e-6 currency units per MWh",
    ),
    one(
        "reactive.quantity",
        Kind::Int64,
        "reactive exchange, var, import-positive",
    ),
    one(
        "gridFee.amount",
        Kind::Int64,
        "fee for the grid above, 1e-6 currency units per MWh",
    ),
    one(
        "import.maximum",
        Kind::Int64,
        "most import that the grid above can carry, W",
    ),
    one("export.maximum", Kind::Int64, "most export, W"),
    one(
        "activation",
        Kind::Boolean,
        "whether another exchange is called for, to balance",
    ),
    one(
        "activation.quantity",
        Kind::Int64,
        "that exchange, W; 0 where none is",
    ),
    many("limits", Kind::String, "limits that bind above, in words"),
    many(
        "voltage.quantity",
        Kind::Int64,
        "voltage behind the connection as it is planned, 1e-6 of the rated one; not known: empty",
    ),
];

/// What a tenant's object has in it.
pub const OBJECTS: &[Object] = &[
    Object {
        name: "Award",
        text: "the latest award (allocation result)",
        variables: AWARD,
    },
    Object {
        name: "Held",
        text: "which awards can be had by GetAward",
        variables: &[
            one(
                "publication",
                Kind::UInt32,
                "rises with every award that is given",
            ),
            many(
                "intervals",
                Kind::Int64,
                "starts of their intervals, rising, s",
            ),
            many(
                "revisions",
                Kind::UInt32,
                "their revision numbers, in the same order",
            ),
        ],
    },
];

/// What a tenant can call. All of them can be called as often as it takes.
pub const METHODS: &[Method] = &[
    Method {
        name: "SubmitBid",
        text: "passes the residual curve at the connection up (bid document)",
        inputs: &[
            START,
            one("resolution", Kind::UInt32, "length of the interval, s"),
            REVISION,
            many(
                "Point.quantity",
                Kind::Int64,
                "corners: exchange, W, import-positive, rising",
            ),
            many(
                "Point.price.amount",
                Kind::Int64,
                "corners: worth of the next W of import, 1e-6 currency units per MWh, falling",
            ),
            many(
                "Point.reactive.quantity",
                Kind::Int64,
                "corners: reactive exchange, var",
            ),
            one(
                "reactive.minimum",
                Kind::Int64,
                "least reactive exchange, var",
            ),
            one(
                "reactive.maximum",
                Kind::Int64,
                "most reactive exchange, var",
            ),
            one(
                "forecast.quantity",
                Kind::Int64,
                "exchange expected without award, W",
            ),
            one(
                "state.observed",
                Kind::Double,
                "share of the nodes that are observed, 0 to 1",
            ),
            one(
                "state.sigma",
                Kind::Double,
                "largest standard deviation of a voltage, pu",
            ),
            many("state.limits", Kind::String, "limits in force, in words"),
            one(
                "state.islanded",
                Kind::Boolean,
                "whether it runs without the grid above",
            ),
            many(
                "voltage.Point.quantity",
                Kind::Int64,
                "corners: voltage behind the connection, 1e-6 of the rated one, rising; not known: empty",
            ),
            many(
                "voltage.Point.cost",
                Kind::Int64,
                "corners: what it costs, 1e-6 currency units per h, convex",
            ),
            one(
                "voltage.resistance",
                Kind::Double,
                "of the grid above as the tenant computes with, ohm",
            ),
            one("voltage.reactance", Kind::Double, "the same, ohm"),
        ],
        outputs: ACKNOWLEDGEMENT,
    },
    Method {
        name: "SubmitClosing",
        text: "passes up with what the tenant has cleared for good (confirmation)",
        inputs: &[
            START,
            REVISION,
            one(
                "businessType",
                Kind::UInt32,
                "basis: 0 award, 1 last award, 2 schedule, 3 zero",
            ),
            many(
                "award.revisionNumber",
                Kind::UInt32,
                "of the award it rests on; none: empty",
            ),
            one("quantity", Kind::Int64, "exchange, W, import-positive"),
            one(
                "price.amount",
                Kind::Int64,
                "price, 1e-6 currency units per MWh",
            ),
        ],
        outputs: ACKNOWLEDGEMENT,
    },
    Method {
        name: "SubmitTotal",
        text: "passes up what was metered at the connection (energy account)",
        inputs: &[
            START,
            REVISION,
            one("in.quantity", Kind::Int64, "energy taken, Wh"),
            one("out.quantity", Kind::Int64, "energy given, Wh"),
            one(
                "replaced",
                Kind::Boolean,
                "whether any of it is a replaced value",
            ),
            many(
                "aggregator.name",
                Kind::String,
                "participants below that are settled above, by name",
            ),
            many(
                "aggregator.quantity",
                Kind::Int64,
                "energy that each delivered, Wh; negative where it took",
            ),
            many(
                "aggregator.amount",
                Kind::Int64,
                "what each is owed, 1e-6 currency units; negative where it owes",
            ),
        ],
        outputs: ACKNOWLEDGEMENT,
    },
    Method {
        name: "Acknowledge",
        text: "tells that an award is on record below (acknowledgement document)",
        inputs: &[START, REVISION],
        outputs: &[],
    },
    Method {
        name: "GetAward",
        text: "gives an interval's award, if it is held",
        inputs: &[START],
        outputs: &[
            one(
                "held",
                Kind::Boolean,
                "whether there is one; all others are without meaning if not",
            ),
            AWARD[0],
            AWARD[1],
            AWARD[2],
            AWARD[3],
            AWARD[4],
            AWARD[5],
            AWARD[6],
            AWARD[7],
            AWARD[8],
            AWARD[9],
            AWARD[10],
            AWARD[11],
            AWARD[12],
        ],
    },
];

/// Of a tenant's object, or of what is below it: `tenant`, `tenant/SubmitBid`, `tenant/Award/quantity`.
pub(super) fn path(parts: &[&str]) -> String {
    parts.join("/")
}

/// A tenant's name, of the text of a node's id.
pub(super) fn tenant_of(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}
