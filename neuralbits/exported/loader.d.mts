// Written by `neuralbits export`.

export interface IntentConfidence {
  intent: string;
  /** The calibrated probability. */
  confidence: number;
}

/** What the classifier makes of a text: the likeliest intent, and what the service answers beside it. */
export interface Prediction extends IntentConfidence {
  /** Whether the score's lead over the others reaches the model's threshold. */
  in_scope: boolean;
  /** The topK likeliest intents, the likeliest first. */
  intents: IntentConfidence[];
}

export interface Classifier {
  /** All intents. */
  readonly labels: readonly string[];
  /** Classify one text; topK, by default 1, is how many intents to name. */
  classify(text: string, topK?: number): Prediction;
}

/** Load the model: by default from the .wasm file beside the module, else from another URL or from its bytes. */
export function load(source?: URL | BufferSource): Promise<Classifier>;
