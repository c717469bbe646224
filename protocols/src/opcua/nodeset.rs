//! The information model as XML (IEC 62541-6, annex F), for the tools of others. What stands here for one
//! tenant, called `TENANT`, each has under its own name.

use std::fmt::Write as _;

use super::model::{self, FOLDER, Field, Kind, METHODS, NAMESPACE, OBJECTS, TENANT_NAMESPACE};

/// The tenant of the document.
const TENANT: &str = "TENANT";

/// The document. What does not change from one day to another is in it and nothing else.
#[must_use]
pub fn nodeset() -> String {
    let mut xml = String::new();
    document(&mut xml).expect("a string takes everything that is written to it");
    xml
}

type Written = std::fmt::Result;

fn document(xml: &mut String) -> Written {
    head(xml)?;
    let folder = format!("ns=1;s={FOLDER}");
    open(
        xml,
        "UAObject",
        &folder,
        &format!("1:{FOLDER}"),
        "",
        FOLDER,
        "the markets that the user is a tenant of",
    )?;
    references(
        xml,
        &[
            ("Organizes", false, "i=85"),
            ("HasTypeDefinition", true, "i=61"),
        ],
    )?;
    close(xml, "UAObject")?;
    let root = id(&[TENANT]);
    open(
        xml,
        "UAObject",
        &root,
        &format!("2:{TENANT}"),
        "",
        TENANT,
        "a tenant's part; it sees its own only",
    )?;
    references(
        xml,
        &[
            ("Organizes", false, &folder),
            ("HasTypeDefinition", true, "i=58"),
        ],
    )?;
    close(xml, "UAObject")?;
    objects(xml, &root)?;
    methods(xml, &root)?;
    writeln!(xml, "</UANodeSet>")
}

/// Namespaces, and names for what is referred to often.
fn head(xml: &mut String) -> Written {
    writeln!(xml, r#"<?xml version="1.0" encoding="utf-8"?>"#)?;
    writeln!(
        xml,
        r#"<!-- Made from protocols/src/opcua/model.rs: change it there. -->"#
    )?;
    writeln!(
        xml,
        r#"<UANodeSet xmlns="http://opcfoundation.org/UA/2011/03/UANodeSet.xsd">"#
    )?;
    writeln!(xml, "  <NamespaceUris>")?;
    for uri in [NAMESPACE, TENANT_NAMESPACE] {
        writeln!(xml, "    <Uri>{uri}</Uri>")?;
    }
    writeln!(xml, "  </NamespaceUris>")?;
    writeln!(xml, "  <Aliases>")?;
    for (name, id) in [
        ("Boolean", 1),
        ("UInt32", 7),
        ("Int64", 8),
        ("Double", 11),
        ("String", 12),
        ("Organizes", 35),
        ("HasTypeDefinition", 40),
        ("HasProperty", 46),
        ("HasComponent", 47),
        ("Argument", 296),
    ] {
        writeln!(xml, r#"    <Alias Alias="{name}">i={id}</Alias>"#)?;
    }
    writeln!(xml, "  </Aliases>")
}

fn objects(xml: &mut String, root: &str) -> Written {
    for object in OBJECTS {
        let parent = id(&[TENANT, object.name]);
        open(
            xml,
            "UAObject",
            &parent,
            &format!("2:{}", object.name),
            "",
            object.name,
            object.text,
        )?;
        references(
            xml,
            &[
                ("HasComponent", false, root),
                ("HasTypeDefinition", true, "i=58"),
            ],
        )?;
        close(xml, "UAObject")?;
        for field in object.variables {
            let variable = id(&[TENANT, object.name, field.name]);
            let kind = format!(
                r#" DataType="{}" ValueRank="{}""#,
                kind(field.kind),
                rank(field)
            );
            open(
                xml,
                "UAVariable",
                &variable,
                &format!("2:{}", field.name),
                &kind,
                field.name,
                field.text,
            )?;
            references(
                xml,
                &[
                    ("HasComponent", false, &parent),
                    ("HasTypeDefinition", true, "i=63"),
                ],
            )?;
            close(xml, "UAVariable")?;
        }
    }
    Ok(())
}

fn methods(xml: &mut String, root: &str) -> Written {
    for method in METHODS {
        let parent = id(&[TENANT, method.name]);
        open(
            xml,
            "UAMethod",
            &parent,
            &format!("2:{}", method.name),
            "",
            method.name,
            method.text,
        )?;
        references(xml, &[("HasComponent", false, root)])?;
        close(xml, "UAMethod")?;
        for (name, fields) in [
            ("InputArguments", method.inputs),
            ("OutputArguments", method.outputs),
        ] {
            if !fields.is_empty() {
                arguments(xml, method.name, &parent, name, fields)?;
            }
        }
    }
    Ok(())
}

fn arguments(
    xml: &mut String,
    method: &str,
    parent: &str,
    name: &str,
    fields: &[Field],
) -> Written {
    let variable = id(&[TENANT, method, name]);
    let kind = format!(
        r#" DataType="Argument" ValueRank="1" ArrayDimensions="{}""#,
        fields.len()
    );
    open(xml, "UAVariable", &variable, name, &kind, name, "")?;
    references(
        xml,
        &[
            ("HasProperty", false, parent),
            ("HasTypeDefinition", true, "i=68"),
        ],
    )?;
    writeln!(xml, "    <Value>")?;
    writeln!(
        xml,
        r#"      <ListOfExtensionObject xmlns="http://opcfoundation.org/UA/2008/02/Types.xsd">"#
    )?;
    for field in fields {
        writeln!(
            xml,
            "        <ExtensionObject><TypeId><Identifier>i=297</Identifier></TypeId><Body><Argument>"
        )?;
        writeln!(xml, "          <Name>{}</Name>", field.name)?;
        writeln!(
            xml,
            "          <DataType><Identifier>i={}</Identifier></DataType>",
            number(field.kind)
        )?;
        writeln!(xml, "          <ValueRank>{}</ValueRank>", rank(field))?;
        writeln!(xml, "          <ArrayDimensions />")?;
        writeln!(
            xml,
            "          <Description><Text>{}</Text></Description>",
            escaped(field.text)
        )?;
        writeln!(xml, "        </Argument></Body></ExtensionObject>")?;
    }
    writeln!(xml, "      </ListOfExtensionObject>")?;
    writeln!(xml, "    </Value>")?;
    close(xml, "UAVariable")
}

fn open(
    xml: &mut String,
    class: &str,
    id: &str,
    name: &str,
    more: &str,
    display: &str,
    text: &str,
) -> Written {
    writeln!(
        xml,
        r#"  <{class} NodeId="{id}" BrowseName="{name}"{more}>"#
    )?;
    writeln!(xml, "    <DisplayName>{display}</DisplayName>")?;
    if !text.is_empty() {
        writeln!(
            xml,
            r#"    <Description Locale="en">{}</Description>"#,
            escaped(text)
        )?;
    }
    Ok(())
}

fn close(xml: &mut String, class: &str) -> Written {
    writeln!(xml, "  </{class}>")
}

fn references(xml: &mut String, all: &[(&str, bool, &str)]) -> Written {
    writeln!(xml, "    <References>")?;
    for (kind, forward, to) in all {
        let direction = if *forward {
            ""
        } else {
            r#" IsForward="false""#
        };
        writeln!(
            xml,
            r#"      <Reference ReferenceType="{kind}"{direction}>{to}</Reference>"#
        )?;
    }
    writeln!(xml, "    </References>")
}

fn id(parts: &[&str]) -> String {
    format!("ns=2;s={}", model::path(parts))
}

fn rank(field: &Field) -> i32 {
    if field.array { 1 } else { -1 }
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "Boolean",
        Kind::UInt32 => "UInt32",
        Kind::Int64 => "Int64",
        Kind::Double => "Double",
        Kind::String => "String",
    }
}

fn number(kind: Kind) -> u8 {
    match kind {
        Kind::Boolean => 1,
        Kind::UInt32 => 7,
        Kind::Int64 => 8,
        Kind::Double => 11,
        Kind::String => 12,
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that others are given is what the code has: `BUSBAR_UPDATE=1` writes it.
    #[test]
    fn the_file_is_fresh() {
        let file = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/nodeset/Busbar.Market.NodeSet2.xml"
        );
        if std::env::var_os("BUSBAR_UPDATE").is_some() {
            std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/nodeset")).unwrap();
            std::fs::write(file, nodeset()).unwrap();
        }
        let there = std::fs::read_to_string(file).unwrap();
        assert!(
            there == nodeset(),
            "BUSBAR_UPDATE=1 cargo test -p busbar-protocols --lib nodeset"
        );
    }
}
