
mod schema_corpus;
