//! A program's own functions as BTF: what the kernel wants to see before it calls one back.

use aya_obj::btf::{Btf, BtfType, Func, FuncLinkage, FuncProto, Int, IntEncoding};

pub(crate) struct Functions {
    // For BPF_BTF_LOAD.
    pub(crate) types: Vec<u8>,
    // struct bpf_func_info: the slot where a function begins, and its type.
    pub(crate) places: Vec<[u32; 2]>,
}

impl Functions {
    // Each function is `static int name()`: a static one is verified where it is called, whatever its type says.
    pub(crate) fn new(functions: &[(u32, String)]) -> Self {
        let mut btf = Btf::new();
        let name = btf.add_string("int");
        let int = btf.add_type(BtfType::Int(Int::new(name, 4, IntEncoding::Signed, 0)));
        let proto = btf.add_type(BtfType::FuncProto(FuncProto::new(Vec::new(), int)));
        let places = functions
            .iter()
            .map(|(slot, name)| {
                let name = btf.add_string(name);
                [*slot, btf.add_type(BtfType::Func(Func::new(name, proto, FuncLinkage::Static)))]
            })
            .collect();
        Self { types: btf.to_bytes(), places }
    }
}
