/** The passkeys of `evaluatePasskey`: the paragraph that tells one, the question for it and the answer. */
import {draws} from './draws.js';

export const PASSKEYS = ['digits', 'name'] as const;
export type PasskeyKind = (typeof PASSKEYS)[number];

export interface Passkey {
  /** The paragraph that tells the passkey. */
  told: string;
  question: string;
  answer: string;
  /** Where in the whole text the trial's excerpt begins, in [0, 1). */
  place: number;
}

const CONSONANTS = 'bdfgklmnprstvz';
const VOWELS = 'aeiou';

/** The passkey of a trial, which is the same at every length and depth. */
export function passkeyOf(kind: PasskeyKind, trial: number): Passkey {
  const next = draws(trial, PASSKEYS.indexOf(kind), 0);
  const place = next();
  const pick = (letters: string) => letters[Math.floor(next() * letters.length)];
  if (kind === 'digits') {
    const key = Array.from({length: 5}, () => pick('0123456789')).join('');
    return {
      told: `\n\nThe pass key is ${key}. Remember it. ${key} is the pass key.\n\n`,
      question: '\n\nWhat is the pass key? The pass key is',
      answer: ` ${key}`,
      place,
    };
  }
  const name = () => {
    const letters =
      Array.from({length: 3}, () => pick(CONSONANTS) + pick(VOWELS)).join('') + pick(CONSONANTS);
    return letters[0].toUpperCase() + letters.slice(1);
  };
  const [first, last] = [name(), name()];
  return {
    told: `\n\n"My name," said the stranger, "is ${first} ${last}, and I am called ${first} ${last} by all who know me."\n\n`,
    question: `\n\n"My name," said the stranger, "is ${first}`,
    answer: ` ${last}`,
    place,
  };
}
