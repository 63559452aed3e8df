// Written by `neuralbits export`.

export interface IntentConfidence {
  intent: string;
  /** The calibrated probability. */
  confidence: number;
}

/** What the classifier makes of a text: the likeliest intent, and what the service answers beside it. */
export interface Prediction extends IntentConfidence {
  /** Whether the score's margin over the others reaches the model's threshold. */
  in_scope: boolean;
  /** The topK likeliest intents, the likeliest first. */
  intents: IntentConfidence[];
}

/** An n-gram, and what it did for the answer. */
export interface NgramInfluence {
  /** Its text, normalised; spaces are the bounds of tokens. */
  ngram: string;
  family: "words" | "word_bigrams" | "skip_bigrams" | "characters";
  /** By how much the log-odds of the text's intent fall without it: above 0 it spoke for the intent. */
  influence: number;
}

/** What a text is to the network, and what its n-grams did for the likeliest intent. */
export interface Explanation {
  /** The neural bits in hexadecimal digits: the first bit is the highest of the first digit. */
  bits: string;
  /** Likewise the second bits, which say whether a sum is large; empty if there are none. */
  second_bits: string;
  /** How many functions there are. */
  functions: number;
  /** How many bits of `bits` each of them has. */
  dimensions: number;
  /** Every different n-gram of the text once, the greatest influence, of either sign, first. */
  ngrams: NgramInfluence[];
}

export interface Classifier {
  /** All intents. */
  readonly labels: readonly string[];
  /** Classify one text; topK, by default 1, is how many intents to name. */
  classify(text: string, topK?: number): Prediction;
  /** Tell which n-grams spoke for the intent that classify gives, and which against it. */
  explain(text: string): Explanation;
}

/** Load the model: by default from the .wasm file beside the module, else from another URL or from its bytes. */
export function load(source?: URL | BufferSource): Promise<Classifier>;
