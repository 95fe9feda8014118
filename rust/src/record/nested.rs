//! Columns put together from those of their leaves.

use std::sync::Arc;

use arrow_buffer::Buffer;
use arrow_data::{ArrayData, ArrayDataBuilder};
use arrow_schema::{DataType, Fields};

use super::plan::Node;
use super::slab::Slab;
use super::writer::Writer;

// The rows of a batch, while it is cut off.
pub(super) struct Cut<'a> {
    pub(super) writers: &'a mut [Writer],
    pub(super) slab: &'a Arc<Slab>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Cut<'_> {
    // The column of a node, which has `repeat` elements in each row.
    //
    // SAFETY (of the caller): the rows are written and will not be written again; the type is the node's.
    pub(super) unsafe fn column(&mut self, node: &Node, data_type: &DataType, repeat: usize) -> ArrayData {
        let len = (self.end - self.start) * repeat;
        let array = ArrayDataBuilder::new(data_type.clone()).len(len);
        // SAFETY: promised by the caller; the children of structs are as long as these, and the offsets of lists count
        // elements of which each row has the same number.
        unsafe {
            match (node, data_type) {
                (Node::Struct(nodes), DataType::Struct(fields)) => {
                    let children =
                        nodes.iter().zip(fields).map(|(node, field)| self.column(node, field.data_type(), repeat));
                    array.child_data(children.collect()).build_unchecked()
                }
                (Node::Union(members), DataType::Struct(fields)) => {
                    array.child_data(self.members(members, fields, repeat)).build_unchecked()
                }
                (Node::List(count, node), DataType::List(item)) => {
                    let offsets: Buffer = (0..=len).map(|i| (i * count) as i32).collect::<Vec<_>>().into();
                    let items = self.column(node, item.data_type(), repeat * count);
                    array.add_buffer(offsets).add_child_data(items).build_unchecked()
                }
                (Node::Leaf(leaf), _) => self.writers[*leaf].cut(self.slab, self.start, self.end, data_type),
                // Never: the plan makes nodes and types of the same fields.
                (Node::Struct(_) | Node::Union(_) | Node::List(..), _) => ArrayData::new_null(data_type, len),
            }
        }
    }

    // SAFETY (of the caller): as for column.
    unsafe fn members(&mut self, members: &[(usize, Node)], fields: &Fields, repeat: usize) -> Vec<ArrayData> {
        let member = |((selected, node), field): (&(usize, Node), &Arc<arrow_schema::Field>)| {
            // SAFETY: promised by the caller; the bits are as many as the member has elements.
            unsafe {
                let validity = self.writers[*selected].cut_bits(self.slab, self.start, self.end);
                let array = self.column(node, field.data_type(), repeat).into_builder();
                array.null_bit_buffer(Some(validity)).build_unchecked()
            }
        };
        members.iter().zip(fields).map(member).collect()
    }
}
