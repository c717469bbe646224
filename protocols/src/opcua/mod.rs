//! The link between two layers of the market, over OPC UA (IEC 62541): the lower layer is always the
//! client, so that nothing opens a port towards it. A substation is a tenant of an area, an area of a
//! wider area or of the wholesale market; all of them pass the same documents.

pub mod message;
