// Written by `neuralbits export`.

export interface IntentConfidence {
  intent: string;
  /** The calibrated probability. */
  confidence: number;
}

/** The classifier's answer for one text, with the fields of the service's answer. */
export interface Prediction extends IntentConfidence {
  /** Whether the margin of the intent's score over the others is at least the threshold. */
  in_scope: boolean;
  /** The topK likeliest intents, in falling order of confidence. */
  intents: IntentConfidence[];
}

/** An n-gram and its influence on the intent. */
export interface NgramInfluence {
  /** Normalised text; a space marks the start or the end of a token. */
  ngram: string;
  family: "words" | "word_bigrams" | "skip_bigrams" | "characters";
  /** The fall of the intent's log-odds without this n-gram: above 0, it speaks for the intent. */
  influence: number;
}

/** The neural bits of a text, and the influence of its n-grams on the likeliest intent. */
export interface Explanation {
  /** The neural bits in hexadecimal digits: the first bit is the highest of the first digit. */
  bits: string;
  /** The second bits in the same form, 1 for a large sum; empty if the model has none. */
  second_bits: string;
  /** The number of projection functions. */
  functions: number;
  /** The number of bits of each function in `bits`. */
  dimensions: number;
  /** The different n-grams of the text, in falling order of the influence's magnitude. */
  ngrams: NgramInfluence[];
}

export interface Classifier {
  /** The intents. */
  readonly labels: readonly string[];
  /** Classify one text; topK, by default 1, is the number of intents to list. */
  classify(text: string, topK?: number): Prediction;
  /** Explain the intent that classify returns by the influence of each n-gram. */
  explain(text: string): Explanation;
}

/** Load the model from a URL or from bytes, by default from the .wasm file beside the module. */
export function load(source?: URL | BufferSource): Promise<Classifier>;
