// SPDX-License-Identifier: Apache-2.0
//
// Text in, intent out: neuralbits as an ES module, for browsers and Node. Written by `neuralbits export`.
//
//     import { load } from "./example.mjs";
//     const classifier = await load();
//     classifier.classify("turn of teh lamp", 3);

/**
 * Load the kernel and the model; both are in the one .wasm file beside this module.
 * @param {URL | BufferSource} source where that file is, or what it holds
 */
export async function load(source = new URL("./example.wasm", import.meta.url)) {
  const module = await WebAssembly.compile(await contentOf(source));
  const kernel = (await WebAssembly.instantiate(module)).exports;
  const memory = kernel.memory;
  const model = section(module, "neuralbits.model");
  const labels = Object.freeze(JSON.parse(new TextDecoder().decode(section(module, "neuralbits.labels"))));
  const encoder = new TextEncoder();

  // Behind the kernel's own data lie the model, its results, and what one text takes.
  const modelAt = kernel.__heap_base.value;
  const probabilitiesAt = aligned(modelAt + model.byteLength);
  const scoresAt = probabilitiesAt + 8 * labels.length;
  const scratchAt = aligned(scoresAt + 4 * labels.length);
  reserve(memory, scratchAt);
  new Uint8Array(memory.buffer).set(new Uint8Array(model), modelAt);
  if (kernel.open(modelAt, model.byteLength) !== 0 || kernel.intents() !== labels.length) {
    throw new Error("the model within the .wasm file is damaged; export it anew");
  }

  /** Classify one text; topK is how many intents to name. */
  function classify(text, topK = 1) {
    if (typeof text !== "string") {
      throw new TypeError(`the text is of type ${typeof text}, not a string`);
    }
    if (!Number.isInteger(topK) || topK < 1) {
      throw new RangeError(`topK is ${topK}; ask for at least 1 intent`);
    }
    const bytes = encoder.encode(text);
    const textAt = scratchAt + (kernel.scratch_size(bytes.length) >>> 0);
    if (textAt === scratchAt) {
      throw new RangeError(`a text of ${bytes.length} bytes is longer than the kernel takes`);
    }
    reserve(memory, textAt + bytes.length);
    new Uint8Array(memory.buffer).set(bytes, textAt);
    const inScope = kernel.classify(textAt, bytes.length, scratchAt, scoresAt, probabilitiesAt);
    const scores = new Int32Array(memory.buffer, scoresAt, labels.length);
    const probabilities = new Float64Array(memory.buffer, probabilitiesAt, labels.length);
    const intents = greatest(scores, topK).map((place) => ({
      intent: labels[place],
      confidence: probabilities[place],
    }));
    return { ...intents[0], in_scope: inScope !== 0, intents };
  }

  return Object.freeze({ labels, classify });
}

/** The places of the greatest numbers, the greatest first, and the first of equals. */
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
    const files = "node:fs/promises"; // not for bundlers to follow
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
    throw new Error(`the .wasm file has no section ${name}; export it anew`);
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
