#![expect(unused, reason = "not written yet")]
