//! converters/api
