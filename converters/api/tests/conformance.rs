//! The hub's own formats against the conformance kit.

mod ir {
    airconv_api::conformance!(airconv_api::hub::IrReader, airconv_api::hub::IrWriter);
}

mod irt {
    airconv_api::conformance!(airconv_api::hub::IrtReader, airconv_api::hub::IrtWriter);
}
