//! Error answers: BEP 15, "error response".

use crate::checksum::Sum;
use crate::frame::{self, Datagram, Frame, Network, Payload};
use crate::verdict::Verdict;
use crate::wire::{self, Refusal};

/// Bytes of the two errors that are most often sent.
pub(super) const ERROR_LEN: usize = Refusal::InvalidConnectionId.answer_len();
const _: () = assert!(ERROR_LEN == Refusal::InfoHashNotAllowed.answer_len());

/// Words of the longest text.
const TEXT_WORDS: usize = 7;

/// An error answer of `LEN` bytes. The text is kept in words, with zeros behind its end.
struct ErrorAnswer<const LEN: usize> {
    transaction: u32,
    words: [u32; TEXT_WORDS],
}

impl<const LEN: usize> ErrorAnswer<LEN> {
    #[inline(always)]
    const fn new(refusal: Refusal, transaction: u32) -> Self {
        let text = refusal.text().as_bytes();
        let mut words = [0; TEXT_WORDS];
        let mut index = 0;
        while index < TEXT_WORDS {
            words[index] = u32::from_ne_bytes([
                byte(text, 4 * index),
                byte(text, 4 * index + 1),
                byte(text, 4 * index + 2),
                byte(text, 4 * index + 3),
            ]);
            index += 1;
        }
        Self { transaction, words }
    }
}

#[inline(always)]
const fn byte(text: &[u8], index: usize) -> u8 {
    if index < text.len() { text[index] } else { 0 }
}

impl<const LEN: usize> Payload for ErrorAnswer<LEN> {
    const LEN: usize = LEN;

    #[inline(always)]
    fn add_to(&self, sum: Sum) -> Sum {
        let sum = sum.add4(wire::ACTION_ERROR.to_be()).add4(self.transaction);
        self.words.iter().fold(sum, |sum, word| sum.add4(*word))
    }

    #[inline(always)]
    fn store<F: Frame>(&self, frame: &mut F, at: usize) -> Option<()> {
        frame.store(at, [wire::ACTION_ERROR.to_be(), self.transaction])?;
        let text = LEN - wire::ANSWER_HEADER_LEN;
        let mut index = 0;
        while index < TEXT_WORDS {
            let (at, word) = (at + wire::ANSWER_HEADER_LEN + 4 * index, self.words[index].to_le());
            match text.saturating_sub(4 * index) {
                0 => {}
                1 => frame.store(at, (word as u8).to_le())?,
                2 => frame.store(at, (word as u16).to_le())?,
                3 => {
                    frame.store(at, (word as u16).to_le())?;
                    frame.store(at + 2, (word >> 16) as u8)?;
                }
                _ => frame.store(at, word.to_le())?,
            }
            index += 1;
        }
        Some(())
    }
}

/// Turns the request into an error answer of `LEN` bytes; the verdict is `verdict` if the frame can have that length.
#[inline(always)]
pub(super) fn refuse<F: Frame, N: Network, const LEN: usize>(
    frame: &mut F,
    datagram: &Datagram<N::Ip>,
    refusal: Refusal,
    transaction: u32,
    verdict: Verdict,
) -> Verdict {
    match frame::answer::<F, N, _>(frame, datagram, &ErrorAnswer::<LEN>::new(refusal, transaction)) {
        Some(()) => verdict,
        None => Verdict::PassResize,
    }
}
