//! Compares our `.proto` files for Mesos with the facts in `mesos/fields.tsv`, both ways.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use protox::prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

/// Nine columns joined by tabs, as [`HEADER`] names them.
type Row = String;

const TABLE: &str = include_str!("../mesos/fields.tsv");
const HEADER: &str = "file\tkind\ttype\tname\tnumber\tlabel\tfield_type\tdefault\toneof";

#[test]
fn the_proto_files_say_what_the_table_says() {
    let ours = rows_of_proto_files();
    let table = rows_of_table();
    assert_eq!(distinct(&ours).len(), ours.len(), "a row comes twice from the .proto files");
    assert_eq!(distinct(&table).len(), table.len(), "a row comes twice in the table");

    let missing = |from: &[Row], other: &[Row]| {
        let rows: Vec<_> = distinct(other).difference(&distinct(from)).cloned().collect();
        rows.join("\n")
    };
    let (only_ours, only_table) = (missing(&table, &ours), missing(&ours, &table));
    assert!(
        only_ours.is_empty() && only_table.is_empty(),
        "only in the .proto files:\n{only_ours}\n\nonly in the table:\n{only_table}\n",
    );
}

#[test]
fn an_enum_reads_by_default_as_the_value_that_the_table_has_first() {
    assert_eq!(first_values(&rows_of_proto_files()), first_values(&rows_of_table()));
}

fn distinct(rows: &[Row]) -> BTreeSet<String> {
    rows.iter().cloned().collect()
}

/// The first value of every enum, which proto2 takes for its default.
fn first_values(rows: &[Row]) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut first = BTreeSet::new();
    for row in rows {
        let columns: Vec<&str> = row.split('\t').collect();
        if columns[1] == "enum" && seen.insert(columns[2]) {
            first.insert(format!("{} {}", columns[2], columns[3]));
        }
    }
    first
}

fn rows_of_table() -> Vec<Row> {
    let mut lines = TABLE.lines();
    assert_eq!(lines.next(), Some(HEADER));
    lines.map(Row::from).collect()
}

fn rows_of_proto_files() -> Vec<Row> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let set = protox::compile(proto_files(&root.join("mesos")), [root]).unwrap();
    let mut rows = Vec::new();
    for file in &set.file {
        assert_eq!(file.syntax(), "", "{} is not proto2", file.name());
        for enumeration in &file.enum_type {
            add_enum(&mut rows, file, file.package(), enumeration);
        }
        for message in &file.message_type {
            add_message(&mut rows, file, file.package(), message);
        }
    }
    rows
}

fn proto_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(proto_files(&path));
        } else if path.extension().is_some_and(|end| end == "proto") {
            found.push(path);
        }
    }
    found
}

fn add_message(rows: &mut Vec<Row>, file: &FileDescriptorProto, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    assert!(message.extension_range.is_empty() && message.extension.is_empty(), "{name}");
    if message.field.is_empty() {
        rows.push(format!("{}\tmessage\t{name}\t\t\t\t\t\t", file.name()));
    }
    for field in &message.field {
        rows.push(format!("{}\tfield\t{name}\t{}", file.name(), field_columns(message, field)));
    }
    for enumeration in &message.enum_type {
        add_enum(rows, file, &name, enumeration);
    }
    for nested in &message.nested_type {
        add_message(rows, file, &name, nested);
    }
}

fn add_enum(rows: &mut Vec<Row>, file: &FileDescriptorProto, scope: &str, enumeration: &EnumDescriptorProto) {
    for value in &enumeration.value {
        rows.push(format!(
            "{}\tenum\t{scope}.{}\t{}\t{}\t\t\t\t",
            file.name(),
            enumeration.name(),
            value.name(),
            value.number(),
        ));
    }
}

fn field_columns(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = format!("{:?}", field.label()).to_lowercase();
    let kind = format!("{:?}", field.r#type()).to_lowercase();
    let named = match field.type_name() {
        "" => String::new(),
        path => format!(" {}", path.trim_start_matches('.')),
    };
    let oneof = match field.oneof_index {
        Some(at) => format!("oneof {}", message.oneof_decl[usize::try_from(at).unwrap()].name()),
        None => String::new(),
    };
    format!("{}\t{}\t{label}\t{kind}{named}\t{}\t{oneof}", field.name(), field.number(), field.default_value(),)
}
