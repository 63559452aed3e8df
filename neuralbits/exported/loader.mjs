// SPDX-License-Identifier: Apache-2.0
//
// Intent classification as an ES module, for browsers and Node. Written by `neuralbits export`.
//
//     import { load } from "./example.mjs";
//     const classifier = await load();
//     classifier.classify("turn of teh lamp", 3);
//     classifier.explain("turn of teh lamp");

const FAMILIES = ["words", "word_bigrams", "skip_bigrams", "characters"];
const NGRAM_BYTES = 40; // a double, and 32-bit numbers

/**
 * Load the kernel and the model, by default from the .wasm file beside this module.
 * @param {URL | BufferSource} source the URL or the content of the .wasm file
 */
export async function load(source = new URL("./example.wasm", import.meta.url)) {
  const module = await WebAssembly.compile(await contentOf(source));
  const kernel = (await WebAssembly.instantiate(module)).exports;
  const memory = kernel.memory;
  const model = section(module, "neuralbits.model");
  const labels = Object.freeze(JSON.parse(new TextDecoder().decode(section(module, "neuralbits.labels"))));
  const encoder = new TextEncoder();
  const decoder = new TextDecoder();

  // Memory after the kernel's own data: the model, the results, then scratch and text.
  const modelAt = kernel.__heap_base.value;
  const probabilitiesAt = aligned(modelAt + model.byteLength);
  const scoresAt = probabilitiesAt + 8 * labels.length;
  const scratchAt = aligned(scoresAt + 4 * labels.length);
  reserve(memory, scratchAt);
  new Uint8Array(memory.buffer).set(new Uint8Array(model), modelAt);
  if (kernel.open(modelAt, model.byteLength) !== 0 || kernel.intents() !== labels.length) {
    throw new Error("the model in the .wasm file is damaged; export it again");
  }

  /** Copy a text behind its scratch buffer; return its address and its number of bytes. */
  function put(text, scratchSize) {
    if (typeof text !== "string") {
      throw new TypeError(`the text is of type ${typeof text}, not a string`);
    }
    const bytes = encoder.encode(text);
    const textAt = scratchAt + (scratchSize(bytes.length) >>> 0);
    if (textAt === scratchAt) {
      throw new RangeError(`a text of ${bytes.length} bytes is longer than the kernel takes`);
    }
    reserve(memory, textAt + bytes.length);
    new Uint8Array(memory.buffer).set(bytes, textAt);
    return [textAt, bytes.length];
  }

  /** Classify one text; topK is the number of intents to list. */
  function classify(text, topK = 1) {
    if (!Number.isInteger(topK) || topK < 1) {
      throw new RangeError(`topK is ${topK}; ask for at least 1 intent`);
    }
    const [textAt, bytes] = put(text, kernel.scratch_size);
    const inScope = kernel.classify(textAt, bytes, scratchAt, scoresAt, probabilitiesAt);
    const scores = new Int32Array(memory.buffer, scoresAt, labels.length);
    const probabilities = new Float64Array(memory.buffer, probabilitiesAt, labels.length);
    const intents = greatest(scores, topK).map((place) => ({
      intent: labels[place],
      confidence: probabilities[place],
    }));
    return { ...intents[0], in_scope: inScope !== 0, intents };
  }

  /** Explain the intent of a text by the influence of each n-gram. */
  function explain(text) {
    const [textAt, bytes] = put(text, kernel.explain_scratch_size);
    const explanationAt = kernel.explain(textAt, bytes, scratchAt);
    if (explanationAt === 0) {
      throw new RangeError(
        `the text has more than ${kernel.max_ngrams().toLocaleString("en")} different n-grams; ` +
          "explain a shorter text",
      );
    }
    const [bitsAt, tokensAt, ngramsAt, count, functions, dimensions, codeBits] = new Uint32Array(
      memory.buffer,
      explanationAt,
      7,
    );
    const string = (start, length) =>
      decoder.decode(new Uint8Array(memory.buffer, tokensAt + start, length));
    const ngrams = [];
    for (let at = ngramsAt; at < ngramsAt + count * NGRAM_BYTES; at += NGRAM_BYTES) {
      const [influence] = new Float64Array(memory.buffer, at, 1);
      const [family, start, length, rest, restLength] = new Uint32Array(memory.buffer, at + 8, 5);
      ngrams.push({
        ngram: string(start, length) + string(rest, restLength),
        family: FAMILIES[family - 1],
        influence,
      });
    }
    const bits = functions * dimensions;
    const secondBitsAt = bitsAt + 8 * Math.ceil(bits / 64);
    return {
      bits: hexadecimal(memory, bitsAt, bits),
      second_bits: hexadecimal(memory, secondBitsAt, codeBits === 2 ? bits : 0),
      functions,
      dimensions,
      ngrams: ngrams.sort((a, b) => Math.abs(b.influence) - Math.abs(a.influence)),
    };
  }

  return Object.freeze({ labels, classify, explain });
}

/** Write bits as hexadecimal digits; the first bit is the highest of the first digit. */
function hexadecimal(memory, at, count) {
  const bytes = new Uint8Array(memory.buffer, at, Math.ceil(count / 8));
  let digits = "";
  for (let first = 0; first < count; first += 4) {
    let digit = 0;
    for (let bit = first; bit < first + 4; bit++) {
      digit = 2 * digit + ((bytes[bit >> 3] >> (bit & 7)) & 1);
    }
    digits += digit.toString(16);
  }
  return digits;
}

/** Return the places of the greatest numbers in falling order; of equal numbers, the first. */
function greatest(numbers, count) {
  const places = [];
  const taken = new Uint8Array(numbers.length);
  while (places.length < Math.min(count, numbers.length)) {
    let best = taken.indexOf(0);
    for (let place = best + 1; place < numbers.length; place++) {
      if (!taken[place] && numbers[place] > numbers[best]) {
        best = place;
      }
    }
    taken[best] = 1;
    places.push(best);
  }
  return places;
}

async function contentOf(source) {
  if (!(source instanceof URL)) {
    return source;
  }
  if (source.protocol === "file:" && globalThis.process?.versions?.node) {
    const files = "node:fs/promises"; // a variable, so that bundlers don't include it
    return (await import(/* webpackIgnore: true */ /* @vite-ignore */ files)).readFile(source);
  }
  const response = await fetch(source);
  if (!response.ok) {
    throw new Error(`can't read ${source}: ${response.status} ${response.statusText}`);
  }
  return response.arrayBuffer();
}

function section(module, name) {
  const [content] = WebAssembly.Module.customSections(module, name);
  if (!content) {
    throw new Error(`the .wasm file has no section ${name}; export it again`);
  }
  return content;
}

function aligned(address) {
  return Math.ceil(address / 8) * 8;
}

function reserve(memory, bytes) {
  const missing = bytes - memory.buffer.byteLength;
  if (missing > 0) {
    memory.grow(Math.ceil(missing / 65536));
  }
}
