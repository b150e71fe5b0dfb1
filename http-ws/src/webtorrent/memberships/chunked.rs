//! A list in chunks of equal size, which grows by one of them and moves nothing.
//!
//! A vector has up to half of its memory to spare, and whenever it grows it leaves a hole behind that is too small for the next one that does. Used
//! by the memberships of a connection, of which there may be thousands, or one.

/// Elements of a chunk. A power of two, as the first one grows like any vector.
const CHUNK: usize = 64;

/// The list. Only its last chunk is partly filled.
#[derive(Debug)]
pub(super) struct Chunked<T>(Vec<Vec<T>>);

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunked<T> {
    pub(super) fn len(&self) -> usize {
        self.0.last().map_or(0, |last| (self.0.len() - 1) * CHUNK + last.len())
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at / CHUNK)?.get(at % CHUNK)
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.0.get_mut(at / CHUNK)?.get_mut(at % CHUNK)
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.0.last()?.last()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    pub(super) fn push(&mut self, element: T) {
        match self.0.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(element),
            Some(_) => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(element);
                self.0.push(chunk);
            }
            None => {
                // Most connections are in one swarm: two vectors of one element each.
                self.0.reserve_exact(1);
                self.0.push(vec![element]);
            }
        }
    }

    /// Takes an element out, and puts the last one into its place.
    pub(super) fn swap_remove(&mut self, at: usize) -> Option<T> {
        if at >= self.len() {
            return None;
        }
        let chunk = self.0.last_mut()?;
        let last = chunk.pop()?;
        if chunk.is_empty() {
            self.0.pop();
        }
        match self.get_mut(at) {
            Some(place) => Some(std::mem::replace(place, last)),
            None => Some(last),
        }
    }

    /// Gives back what is far too much.
    pub(super) fn give_back_memory(&mut self) {
        if let Some(last) = self.0.last_mut()
            && last.capacity() > 4 * last.len()
        {
            last.shrink_to_fit();
        }
        if self.0.capacity() > 4 * self.0.len() {
            self.0.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_same(list: &Chunked<usize>, model: &[usize]) {
        assert_eq!((list.len(), list.last()), (model.len(), model.last()));
        assert!(list.iter().eq(model));
        for at in 0..=model.len() {
            assert_eq!(list.get(at), model.get(at), "{at} of {}", model.len());
        }
    }

    #[test]
    fn it_is_a_vector_to_its_user() {
        let (mut list, mut model) = (Chunked::default(), Vec::new());
        assert_same(&list, &model);
        for element in 0..3 * CHUNK + 1 {
            list.push(element);
            model.push(element);
            assert_same(&list, &model);
        }
        for round in 0.. {
            assert_eq!(list.swap_remove(model.len()), None);
            if model.is_empty() {
                break;
            }
            // The first, the last, and one between.
            let at = [0, model.len() - 1, model.len() / 2][round % 3];
            assert_eq!(list.swap_remove(at), Some(model.swap_remove(at)));
            list.give_back_memory();
            assert_same(&list, &model);
        }
        assert_eq!(list.0.capacity(), 0);
    }

    #[test]
    fn there_is_at_most_a_chunk_to_spare() {
        let mut list = Chunked::default();
        list.push(0);
        assert_eq!((list.0.capacity(), list.0[0].capacity()), (1, 1));
        for element in 1..1000 {
            list.push(element);
            let capacity: usize = list.0.iter().map(Vec::capacity).sum();
            assert!(
                capacity <= (list.len() + CHUNK).min(2 * list.len().max(2)),
                "{capacity} for {}",
                list.len()
            );
        }
        while list.len() > 1 {
            list.swap_remove(0);
        }
        list.give_back_memory();
        assert_eq!((list.0.capacity(), list.0[0].capacity()), (1, 1));
    }
}
