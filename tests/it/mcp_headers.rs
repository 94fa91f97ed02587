//! The headers that mirror a request, and the tools whose annotations are invalid.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use toolbridge::json::RawJson;
use toolbridge::mcp::client::headers::{ParameterHeaders, encoded, screen, standard};

fn read(properties: &Value) -> Result<ParameterHeaders, String> {
    let schema = json!({"type": "object", "properties": properties});
    ParameterHeaders::read(&schema.to_string())
}

fn headers_of(properties: &Value, arguments: &str) -> Vec<(String, String)> {
    read(properties)
        .unwrap()
        .of_call(arguments)
        .into_iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect()
}

#[test]
fn a_text_that_a_header_cannot_carry_goes_in_base64() {
    for (text, header) in [
        ("us-west1", "us-west1"),
        ("us west 1", "us west 1"),
        ("", ""),
        ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
        (" padded ", "=?base64?IHBhZGRlZCA=?="),
        (" us-west1", "=?base64?IHVzLXdlc3Qx?="),
        ("us-west1 ", "=?base64?dXMtd2VzdDEg?="),
        ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
        ("line1\r\nline2", "=?base64?bGluZTENCmxpbmUy?="),
        ("\tindented", "=?base64?CWluZGVudGVk?="),
        ("in\tside", "=?base64?aW4Jc2lkZQ==?="),
        ("\u{7f}", "=?base64?fw==?="),
        ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ("=?base64?", "=?base64?"),
        ("=?BASE64?x?=", "=?BASE64?x?="),
    ] {
        assert_eq!(encoded(text), header, "{text:?}");
    }
}

#[test]
fn every_text_comes_back_from_its_header() {
    let mut texts: Vec<String> = (0..0x250)
        .filter_map(char::from_u32)
        .map(String::from)
        .collect();
    texts.extend(
        (0..0x80)
            .filter_map(char::from_u32)
            .map(|one| format!("{one}a{one}")),
    );
    for text in texts {
        let header = encoded(&text);
        let header = header.to_str().unwrap();
        assert_eq!(header.trim(), header);
        let inner = header
            .strip_prefix("=?base64?")
            .and_then(|rest| rest.strip_suffix("?="));
        let back = match inner {
            Some(packed) => String::from_utf8(BASE64_STANDARD.decode(packed).unwrap()).unwrap(),
            None => header.to_owned(),
        };
        assert_eq!(back, text);
    }
}

#[test]
fn arguments_go_into_the_headers_that_the_schema_names() {
    let properties = json!({
        "region": {"type": "string", "x-mcp-header": "Region"},
        "count": {"type": "integer", "x-mcp-header": "Count"},
        "flag": {"type": "boolean", "x-mcp-header": "Flag"},
        "method": {"type": "string", "x-mcp-header": "Method"},
        "query": {"type": "string"},
        "place": {"type": "object", "properties": {
            "city.name": {"type": "string", "x-mcp-header": "City"},
        }},
    });
    assert_eq!(
        headers_of(
            &properties,
            r#"{"query": "q", "region": "é", "count": 42, "flag": false, "method": "m",
                "place": {"city.name": "Ulm"}}"#,
        ),
        [
            ("mcp-param-region", "=?base64?w6k=?="),
            ("mcp-param-count", "42"),
            ("mcp-param-flag", "false"),
            ("mcp-param-method", "m"),
            ("mcp-param-city", "Ulm"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    for absent in [
        "{}",
        r#"{"region": null, "place": null}"#,
        r#"{"region": ["a"], "count": {}, "place": "here"}"#,
        r#"{"place": {"city": "Ulm"}}"#,
        "[]",
        "null",
    ] {
        assert_eq!(headers_of(&properties, absent), [], "{absent}");
    }
}

#[test]
fn an_integer_has_its_decimal_form_however_it_is_written() {
    let properties = json!({"n": {"type": "integer", "x-mcp-header": "N"}});
    for (number, text) in [
        ("42", "42"),
        ("-7", "-7"),
        ("42.0", "42"),
        ("-0.0", "0"),
        ("1e3", "1000"),
        ("3.14159", "3.14159"),
        ("9007199254740991", "9007199254740991"),
        (
            "123456789012345678901234567890",
            "123456789012345678901234567890",
        ),
        ("1e400", "1e400"),
    ] {
        let arguments = format!(r#"{{"n": {number}}}"#);
        let found = headers_of(&properties, &arguments);
        assert_eq!(found, [("mcp-param-n".to_owned(), text.to_owned())]);
    }
}

#[test]
fn an_invalid_annotation_is_refused_with_its_place() {
    let text = |name: &str| json!({"v": {"type": "string", "x-mcp-header": name}});
    for (properties, part) in [
        (text(""), "of property `v` is empty"),
        (text("My Region"), "' ' may not stand"),
        (text("Region:Primary"), "':' may not stand"),
        (text("Région"), "'é' may not stand"),
        (text("Region\t1"), r"'\t' may not stand"),
        (
            json!({"v": {"type": "string", "x-mcp-header": 5}}),
            "is 5, which is no text",
        ),
        (
            json!({"v": {"type": "object", "x-mcp-header": "A"}}),
            r#"has the type "object""#,
        ),
        (
            json!({"v": {"type": "array", "x-mcp-header": "A"}}),
            r#"has the type "array""#,
        ),
        (
            json!({"v": {"type": "null", "x-mcp-header": "A"}}),
            r#"has the type "null""#,
        ),
        (
            json!({"v": {"type": "number", "x-mcp-header": "A"}}),
            r#"has the type "number""#,
        ),
        (
            json!({"v": {"type": ["string"], "x-mcp-header": "A"}}),
            r#"has the type ["string"]"#,
        ),
        (json!({"v": {"x-mcp-header": "A"}}), "has no type"),
        (
            json!({"a": {"type": "string", "x-mcp-header": "My"},
                   "b": {"properties": {"c": {"type": "string", "x-mcp-header": "mY"}}}}),
            "of property `b.c` is that of property `a` too",
        ),
        (
            json!({"a": {"type": "array", "items": {"type": "string", "x-mcp-header": "A"}}}),
            r#"below "items" of property `a`"#,
        ),
        (
            json!({"a": {"oneOf": [{"properties": {"b": {"type": "string", "x-mcp-header": "A"}}}]}}),
            r#"below "properties" of property `a`"#,
        ),
    ] {
        let reason = read(&properties).unwrap_err();
        assert!(reason.contains(part), "{reason}");
    }
    for (schema, part) in [
        (r#"{"x-mcp-header": "A"}"#, "at the root"),
        (
            r#"{"$defs": {"a": {"type": "string", "x-mcp-header": "A"}}}"#,
            r#"below "$defs""#,
        ),
        (
            r#"{"if": {"properties": {"a": {"x-mcp-header": "A"}}}}"#,
            r#"below "properties" of the"#,
        ),
    ] {
        let reason = ParameterHeaders::read(schema).unwrap_err();
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn what_only_looks_like_an_annotation_is_none() {
    let properties = json!({
        "x-mcp-header": {"type": "string", "default": "x-mcp-header"},
        "a": {"type": "object", "default": {"x-mcp-header": 1}, "enum": [{"x-mcp-header": 1}]},
    });
    let schema = json!({"properties": properties, "dependentRequired": {"x-mcp-header": ["a"]},
                        "dependencies": {"x-mcp-header": ["a"]}});
    let found = ParameterHeaders::read(&schema.to_string()).unwrap();
    assert!(found.is_empty());
}

#[test]
fn a_schema_of_any_depth_is_read_or_refused() {
    let deep = format!(
        r#"{}{{"x-mcp-header": "A"}}{}"#,
        r#"{"not":"#.repeat(100_000),
        "}".repeat(100_000)
    );
    assert!(
        ParameterHeaders::read(&deep)
            .unwrap_err()
            .contains("cannot be read")
    );
}

#[test]
fn screening_takes_out_the_invalid_tools_and_nothing_else() {
    let tool = |name: &str, header: &str| {
        format!(
            r#"{{ "zz":1.50, "name":"{name}","inputSchema":{{"properties":{{"a":{{"type":"string","x-mcp-header":"{header}"}}}}}} }}"#
        )
    };
    let (good, other, bad) = (tool("good", "A"), tool("other", "B"), tool("bad", ""));
    for (tools, left) in [
        (
            format!("[ {bad} , {good} ,\n{other}\t]"),
            format!("[ {good} ,\n{other}\t]"),
        ),
        (
            format!("[ {good} , {bad} ,\n{other}\t]"),
            format!("[ {good} ,\n{other}\t]"),
        ),
        (
            format!("[ {good} ,{other}  , {bad}\t]"),
            format!("[ {good} ,{other}\t]"),
        ),
        (format!("[ {bad},{bad} ]"), "[  ]".to_owned()),
    ] {
        let page = |tools: &str| format!(r#" {{"b": 1e2, "tools" :{tools}, "_meta":{{}} }}"#);
        let (screened, dropped) = screen(RawJson::parse(page(&tools)).unwrap());
        assert_eq!(screened, RawJson::parse(page(&left)).unwrap());
        assert!(dropped.iter().all(|one| one.tool == "bad"));
        assert!(!dropped.is_empty());
    }
}

#[test]
fn a_page_without_a_fault_is_the_very_same_text() {
    for page in [
        r#"{"tools":[{"name":"a","inputSchema":{}}]}"#,
        r#"{"tools":[{"name":"a","inputSchema":{"properties":{"a":{"type":"string","x-mcp-header":"A"}}}}]}"#,
        r#"{"tools":"x-mcp-header"}"#,
        r#"{"tools":[7,{"description":"x-mcp-header"},{"inputSchema":"x-mcp-header"}]}"#,
    ] {
        let page = RawJson::parse(page).unwrap();
        let (screened, dropped) = screen(page.clone());
        assert_eq!(screened.as_bytes().as_ptr(), page.as_bytes().as_ptr());
        assert_eq!(dropped, []);
    }
}

#[test]
fn a_message_is_mirrored_by_its_method_and_name() {
    let shown = |method: &str, params: &str| -> Vec<String> {
        standard(method, Some(&RawJson::parse(params.to_owned()).unwrap()))
            .into_iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    };
    let object = r#"{"name": "näme", "uri": "file:///a b?c=%20", "taskId": "t-1"}"#;
    assert_eq!(
        shown("tools/call", object),
        ["mcp-method: tools/call", "mcp-name: =?base64?bsOkbWU=?="]
    );
    assert_eq!(shown("prompts/get", object).len(), 2);
    assert_eq!(
        shown("resources/read", object)[1],
        "mcp-name: file:///a b?c=%20"
    );
    for method in ["tasks/get", "tasks/update", "tasks/cancel"] {
        assert_eq!(shown(method, object)[1], "mcp-name: t-1");
    }
    assert_eq!(shown("tools/list", object), ["mcp-method: tools/list"]);
    assert_eq!(
        shown("tools/call", r#"{"name": 7}"#),
        ["mcp-method: tools/call"]
    );
    assert_eq!(standard("server/discover", None).len(), 1);
}
