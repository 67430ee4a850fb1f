//! The little SOQL that a client needs to show that a token works, and to ask about an app (salesforce.md P7):
//! `SELECT Id, Name FROM Account [WHERE Name IN ('a', 'b')] [ORDER BY Name [ASC|DESC]] [LIMIT n]`, and
//! `SELECT COUNT() FROM …`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// The records of each object that the caller may see.
pub(super) type Objects = BTreeMap<String, Vec<Map<String, Value>>>;

/// Error code and message, answered with 400.
pub(super) type QueryError = (&'static str, String);

/// Runs a query and makes the answer of `/services/data/vXX.0/query`.
pub(super) fn run(objects: &Objects, soql: &str, version: &str) -> Result<Value, QueryError> {
    let query = Query::read(soql)?;
    let (object, records) = objects
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(&query.object))
        .ok_or_else(|| ("INVALID_TYPE", format!("sObject type '{}' is not supported.", query.object)))?;
    let known = |field: &str| {
        if records.is_empty() {
            return Ok(field.to_owned());
        }
        let mut names = records.iter().flat_map(Map::keys);
        names
            .find(|name| name.eq_ignore_ascii_case(field))
            .cloned()
            .ok_or_else(|| ("INVALID_FIELD", format!("No such column '{field}' on entity '{object}'.")))
    };
    let Some(fields) = &query.fields else {
        let count = records.len().min(query.limit);
        return Ok(json!({ "totalSize": count, "done": true, "records": [] }));
    };
    let fields = fields.iter().map(|field| known(field)).collect::<Result<Vec<_>, _>>()?;
    let mut chosen: Vec<_> = records.iter().collect();
    if let Some((field, wanted)) = &query.only {
        let field = known(field)?;
        chosen
            .retain(|record| record[&field].as_str().is_some_and(|is| wanted.iter().any(|name| name == is)));
    }
    if let Some((field, descending)) = &query.order {
        let field = known(field)?;
        chosen.sort_by_key(|record| record[&field].to_string());
        if *descending {
            chosen.reverse();
        }
    }
    let records: Vec<Value> = chosen
        .into_iter()
        .take(query.limit)
        .map(|record| with_attributes(object, record, version, Some(&fields)))
        .collect();
    Ok(json!({ "totalSize": records.len(), "done": true, "records": records }))
}

/// A record as the REST API shows it: `attributes` first, then all of its fields or these.
pub(super) fn with_attributes(
    object: &str,
    record: &Map<String, Value>,
    version: &str,
    fields: Option<&[String]>,
) -> Value {
    let id = record.get("Id").and_then(Value::as_str).unwrap_or_default();
    let url = format!("/services/data/{version}/sobjects/{object}/{id}");
    let mut shown = Map::from_iter([("attributes".to_owned(), json!({ "type": object, "url": url }))]);
    match fields {
        Some(fields) => shown.extend(
            fields.iter().map(|field| (field.clone(), record.get(field).cloned().unwrap_or(Value::Null))),
        ),
        None => shown.extend(record.clone()),
    }
    Value::Object(shown)
}

struct Query {
    /// `None` counts.
    fields: Option<Vec<String>>,
    object: String,
    /// A field, and the texts that it may have.
    only: Option<(String, Vec<String>)>,
    /// Field, and whether descending.
    order: Option<(String, bool)>,
    limit: usize,
}

impl Query {
    fn read(soql: &str) -> Result<Self, QueryError> {
        let words = tokens(soql)
            .ok_or(("MALFORMED_QUERY", "line breaks not allowed in string literals".to_owned()))?;
        let mut words = words.iter().map(String::as_str).peekable();
        let malformed = |near: Option<&str>| {
            ("MALFORMED_QUERY", format!("unexpected token: '{}'", near.unwrap_or("<EOF>")))
        };
        let is =
            |word: Option<&str>, keyword: &str| word.is_some_and(|word| word.eq_ignore_ascii_case(keyword));

        let first = words.next();
        if !is(first, "SELECT") {
            return Err(malformed(first));
        }
        let mut fields = vec![words.next().ok_or_else(|| malformed(None))?.to_owned()];
        while words.next_if_eq(&",").is_some() {
            fields.push(words.next().ok_or_else(|| malformed(None))?.to_owned());
        }
        let from = words.next();
        if !is(from, "FROM") {
            return Err(malformed(from));
        }
        let object = words.next().ok_or_else(|| malformed(None))?.to_owned();
        let counts = fields.len() == 1 && fields[0].eq_ignore_ascii_case("COUNT()");
        let mut query =
            Self { fields: (!counts).then_some(fields), object, only: None, order: None, limit: 2000 };
        let mut word = words.next();
        if is(word, "WHERE") {
            let field = words.next().ok_or_else(|| malformed(None))?.to_owned();
            let mut wanted = Vec::new();
            let in_list = words.next();
            if !is(in_list, "IN") || words.next() != Some("(") {
                return Err(malformed(in_list));
            }
            loop {
                let text = words.next();
                wanted.push(
                    text.and_then(|text| text.strip_prefix('\'')).ok_or_else(|| malformed(text))?.to_owned(),
                );
                match words.next() {
                    Some(",") => {}
                    Some(")") => break,
                    other => return Err(malformed(other)),
                }
            }
            query.only = Some((field, wanted));
            word = words.next();
        }
        if is(word, "ORDER") && is(words.peek().copied(), "BY") {
            words.next();
            let field = words.next().ok_or_else(|| malformed(None))?.to_owned();
            word = words.next();
            let descending = is(word, "DESC");
            if descending || is(word, "ASC") {
                word = words.next();
            }
            query.order = Some((field, descending));
        }
        if is(word, "LIMIT") {
            let count = words.next();
            query.limit = count.and_then(|count| count.parse().ok()).ok_or_else(|| malformed(count))?;
            word = words.next();
        }
        if word.is_some() { Err(malformed(word)) } else { Ok(query) }
    }
}

/// The words of a query; a text literal is one word behind a `'`, without its escapes. `None`: one has no end.
fn tokens(soql: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = soql.chars().peekable();
    while let Some(first) = rest.next() {
        match first {
            '\'' => {
                let mut literal = String::from('\'');
                loop {
                    match rest.next()? {
                        '\'' => break,
                        '\\' => literal.push(rest.next()?),
                        other => literal.push(other),
                    }
                }
                tokens.push(literal);
            }
            ',' => tokens.push(",".to_owned()),
            // `COUNT()` is one word.
            '(' | ')' => tokens.push(first.to_string()),
            space if space.is_whitespace() => {}
            other => {
                let mut word = String::from(other);
                while let Some(next) = rest.next_if(|next| !next.is_whitespace() && !",'()".contains(*next)) {
                    word.push(next);
                }
                if word.eq_ignore_ascii_case("COUNT") && rest.next_if_eq(&'(').is_some() {
                    word.push('(');
                    word.extend(rest.next_if_eq(&')'));
                }
                tokens.push(word);
            }
        }
    }
    Some(tokens)
}
