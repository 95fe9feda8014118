//! Numbers that aya-obj takes on trust: where they lead nowhere, it would panic, and print so.

use object::{File, Object, ObjectSection, ObjectSymbol, Relocation, RelocationTarget, SectionKind, SymbolKind};

const WIDE: u8 = 0x18; // BPF_LD | BPF_IMM | BPF_DW, of two slots
const CALL: u8 = 0x85; // BPF_JMP | BPF_CALL
const SLOT: usize = 8;

// None if there is one.
pub(super) fn check(data: &[u8]) -> Option<()> {
    // What is no ELF file at all, aya-obj says.
    let Ok(file) = File::parse(data) else { return Some(()) };
    require(file.sections().all(|section| section.address() == 0))?;
    for symbol in file.symbols() {
        let Some(index) = symbol.section_index() else { continue };
        let section = file.section_by_index(index).ok()?;
        let zeros = section.name().is_ok_and(|name| name.starts_with(".bss"));
        let size = if zeros { section.size() } else { section.data().ok()?.len() as u64 };
        require(symbol.address().checked_add(symbol.size())? <= size)?;
    }
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let code = section.data().ok()?;
        for (at, relocation) in section.relocations() {
            relocates(&file, code.get(usize::try_from(at).ok()?..)?, &relocation)?;
        }
    }
    Some(())
}

// `code` begins where something is to be put in place.
fn relocates(file: &File<'_>, code: &[u8], relocation: &Relocation) -> Option<()> {
    let RelocationTarget::Symbol(index) = relocation.target() else { return Some(()) };
    let symbol = file.symbol_by_index(index).ok()?;
    let of_code = |index| file.section_by_index(index).is_ok_and(|section| section.kind() == SectionKind::Text);
    match (symbol.kind(), symbol.section_index()) {
        (SymbolKind::Text, section) => require(section.is_some())?,
        (kind, Some(index)) if of_code(index) => {
            require(kind == SymbolKind::Section && matches!(relocation.size(), 32 | 64))?;
        }
        _ => (),
    }
    match *code.first()? {
        CALL => require(code.len() >= SLOT),
        WIDE => require(code.len() >= 2 * SLOT),
        _ => None,
    }
}

fn require(holds: bool) -> Option<()> {
    holds.then_some(())
}
