//! The traditional crypt of Unix: DES with salted rounds. It is weak, and old files of passwords have it.

use super::LETTERS;

/// The places, counted from 1, that the bits of the key have in its two halves.
const KEY: [u8; 56] = [
    57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36, 63, 55,
    47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
];
/// Which bits of the halves a round takes.
const ROUND: [u8; 48] = [
    14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2, 41, 52, 31, 37, 47, 55, 30,
    40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
];
/// How far the halves turn before each round.
const TURNS: [usize; 16] = [1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1];
/// Where the bits of a round's result go.
const MIX: [u8; 32] = [
    16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4,
    25,
];
/// What six bits become in each of the eight boxes, four rows of sixteen.
const BOXES: [[u8; 64]; 8] = [
    [
        14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8, 4,
        1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13,
    ],
    [
        15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5, 0,
        14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9,
    ],
    [
        10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1, 13,
        6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12,
    ],
    [
        7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9, 10,
        6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14,
    ],
    [
        2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6, 4,
        2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3,
    ],
    [
        12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8, 9,
        14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13,
    ],
    [
        4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6, 1,
        4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12,
    ],
    [
        13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2, 7,
        11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11,
    ],
];

/// The hash of a password with a salt of two of crypt's letters.
pub(super) fn crypt(password: &[u8], salt: [u8; 2]) -> String {
    let keys = keys(password);
    let value = |letter: u8| LETTERS.iter().position(|known| *known == letter).unwrap_or(0);
    let salted = value(salt[0]) | value(salt[1]) << 6;
    let (mut left, mut right) = ([false; 32], [false; 32]);
    for _ in 0..25 {
        for key in &keys {
            let mixed = round(&right, key, salted);
            let next = std::array::from_fn(|at| left[at] ^ mixed[at]);
            (left, right) = (right, next);
        }
        (left, right) = (right, left);
    }
    let mut out: String = salt.iter().map(|letter| char::from(*letter)).collect();
    // The last permutation takes the bits of both halves by turns, from the end of each byte.
    let bit = |at: usize| {
        let (row, column) = (at / 8, at % 8);
        let place = [40, 8, 48, 16, 56, 24, 64, 32][column] - row - 1;
        if place < 32 { left[place] } else { right[place - 32] }
    };
    for letter in 0..11 {
        let six = (0..6).map(|at| letter * 6 + at).fold(0, |six, at| six << 1 | usize::from(at < 64 && bit(at)));
        out.push(char::from(LETTERS[six]));
    }
    out
}

/// The keys of the sixteen rounds, from the low seven bits of eight letters.
fn keys(password: &[u8]) -> [[bool; 48]; 16] {
    let bit = |place: u8| {
        let place = usize::from(place) - 1;
        let letter = password.get(place / 8).copied().unwrap_or(0);
        place % 8 < 7 && letter >> (6 - place % 8) & 1 == 1
    };
    let mut halves = KEY.map(bit);
    TURNS.map(|turns| {
        halves[..28].rotate_left(turns);
        halves[28..].rotate_left(turns);
        ROUND.map(|place| halves[usize::from(place) - 1])
    })
}

/// One round: half of the block, spread to 48 bits of which the salt swaps some, through the boxes.
fn round(half: &[bool; 32], key: &[bool; 48], salted: usize) -> [bool; 32] {
    let mut wide: [bool; 48] = std::array::from_fn(|at| half[(at / 6 * 4 + at % 6 + 31) % 32]);
    for at in 0..12 {
        if salted >> at & 1 == 1 {
            wide.swap(at, at + 24);
        }
    }
    let mut narrow = [false; 32];
    for (number, table) in BOXES.iter().enumerate() {
        let bits: [usize; 6] = std::array::from_fn(|at| usize::from(wide[number * 6 + at] ^ key[number * 6 + at]));
        let row = bits[0] << 1 | bits[5];
        let column = bits[1] << 3 | bits[2] << 2 | bits[3] << 1 | bits[4];
        let out = table[row * 16 + column];
        for at in 0..4 {
            narrow[number * 4 + at] = out >> (3 - at) & 1 == 1;
        }
    }
    MIX.map(|place| narrow[usize::from(place) - 1])
}
