//! Reading columns as what they mean.
