// Reads from a library what decides where it can be loaded: for ELF, Mach-O and PE, each as far as the eight binaries of
// a release need it (64 bits, little-endian). That a file is well-formed is the linker's word, and the system loaders'.

/**
 * - `architecture`: Node's name of it
 * - `exports`: the symbols that others find in it
 * - `fromHost`: the symbols that the program has to have which loads it, where they can be told from the system's
 * - `libraries`: those that it needs
 * - `floor`: the oldest glibc or macOS that it runs on; null where it names none
 * - `stripped`: whether it holds neither symbols for a debugger nor lines of sources
 * - `signed`: whether it has a signature; null where nobody asks for one
 */
export function binaryFacts(image) {
  const magic = image.readUInt32BE(0);
  if (magic === 0x7f454c46) return elfFacts(image);
  if (magic === 0xcffaedfe) return machOFacts(image);
  if (magic >>> 16 === 0x4d5a) return peFacts(image);
  throw new Error('neither ELF nor Mach-O nor PE');
}

function text(image, offset) {
  return image.toString('latin1', offset, image.indexOf(0, offset));
}

function* entries(image, { offset, size }, entrySize) {
  for (let at = offset; at < offset + size; at += entrySize) yield at;
}

/** elf(5) */
function elfFacts(image) {
  const u16 = (at) => image.readUInt16LE(at);
  const u32 = (at) => image.readUInt32LE(at);
  const u64 = (at) => Number(image.readBigUInt64LE(at));
  const [tableOffset, entrySize, count] = [u64(40), u16(58), u16(60)];
  const sections = Array.from({ length: count }, (_, index) => {
    const at = tableOffset + index * entrySize;
    return { type: u32(at + 4), offset: u64(at + 24), size: u64(at + 32), link: u32(at + 40) };
  });
  const find = (type) => sections.find((section) => section.type === type);
  const [debugSymbols, dynamic, symbols] = [find(2), find(6), find(11)];
  const [needs, versions] = [find(0x6ffffffe), find(0x6fffffff)];
  const strings = sections[symbols.link].offset;

  const libraries = [];
  for (const at of entries(image, dynamic, 16)) {
    if (u64(at) === 1) libraries.push(text(image, strings + u64(at + 8)));
  }
  const exports = [];
  const fromHost = [];
  let index = 0;
  for (const at of entries(image, symbols, 24)) {
    const name = text(image, strings + u32(at));
    const weak = image[at + 4] >>> 4 === 2;
    const defined = u16(at + 6) !== 0;
    // What has a version comes from a library. musl's has none.
    const version = versions === undefined ? 0 : u16(versions.offset + index * 2) & 0x7fff;
    if (name !== '' && defined) exports.push(name);
    if (name !== '' && !defined && !weak && needs !== undefined && version <= 1)
      fromHost.push(name);
    index++;
  }
  const floors = [];
  for (let at = needs?.offset; at !== undefined;) {
    for (let of = at + u32(at + 8), left = u16(at + 2); left > 0; left--) {
      const [, floor] = /^GLIBC_([0-9.]+)$/.exec(text(image, strings + u32(of + 8))) ?? [];
      if (floor !== undefined) floors.push(floor);
      of += u32(of + 12);
    }
    const next = u32(at + 12);
    at = next === 0 ? undefined : at + next;
  }
  return {
    architecture: { 62: 'x64', 183: 'arm64' }[u16(18)],
    exports,
    fromHost,
    libraries,
    floor: floors.toSorted(compareVersions).at(-1) ?? null,
    stripped: debugSymbols === undefined,
    signed: null,
  };
}

export function compareVersions(a, b) {
  return a.localeCompare(b, 'en', { numeric: true });
}

/** <mach-o/loader.h>, <mach-o/nlist.h> */
function machOFacts(image) {
  const u32 = (at) => image.readUInt32LE(at);
  const facts = {
    architecture: { 0x01000007: 'x64', 0x0100000c: 'arm64' }[u32(4)],
    exports: [],
    fromHost: [],
    libraries: [],
    floor: null,
    stripped: true,
    signed: false,
  };
  let at = 32;
  for (let commands = u32(16); commands > 0; commands--) {
    const command = u32(at) & 0x7fffffff;
    if (command === 0x0c) facts.libraries.push(text(image, at + u32(at + 8)));
    if (command === 0x1d) facts.signed = true;
    if (command === 0x32) facts.floor = `${u32(at + 12) >>> 16}.${(u32(at + 12) >>> 8) & 255}`;
    if (command === 0x02) {
      const strings = u32(at + 16);
      for (const symbol of entries(image, { offset: u32(at + 8), size: u32(at + 12) * 16 }, 16)) {
        // Every C name begins with an underscore there.
        const name = text(image, strings + u32(symbol)).slice(1);
        const type = image[symbol + 4];
        const isDebugInformation = (type & 0xe0) !== 0;
        const isExternal = (type & 0x01) !== 0;
        const isDefined = (type & 0x0e) !== 0;
        const isLookedUpAnywhere = image[symbol + 7] === 0xfe;
        if (isDebugInformation) facts.stripped = false;
        else if (isExternal && isDefined) facts.exports.push(name);
        else if (isExternal && isLookedUpAnywhere) facts.fromHost.push(name);
      }
    }
    at += u32(at + 4);
  }
  return facts;
}

/** The specification "PE Format" of Microsoft. */
function peFacts(image) {
  const u16 = (at) => image.readUInt16LE(at);
  const u32 = (at) => image.readUInt32LE(at);
  const header = u32(0x3c) + 4;
  const optional = header + 20;
  const sections = Array.from({ length: u16(header + 2) }, (_, index) => {
    const at = optional + u16(header + 16) + index * 40;
    return { address: u32(at + 12), size: u32(at + 16), offset: u32(at + 20) };
  });
  const offsetOf = (address) => {
    const { address: start, offset } = sections.find(
      (section) => address >= section.address && address < section.address + section.size,
    );
    return address - start + offset;
  };
  const directory = (number) => u32(optional + 112 + number * 8);

  const exportTable = offsetOf(directory(0));
  const names = offsetOf(u32(exportTable + 32));
  const exports = Array.from({ length: u32(exportTable + 24) }, (_, index) =>
    text(image, offsetOf(u32(names + index * 4))),
  );
  const libraries = [];
  for (let at = offsetOf(directory(1)); u32(at + 12) !== 0; at += 20) {
    libraries.push(text(image, offsetOf(u32(at + 12))));
  }
  const noSymbols = u32(header + 8) === 0;
  return {
    architecture: { 0x8664: 'x64', 0xaa64: 'arm64' }[u16(header)],
    exports,
    fromHost: [],
    libraries,
    floor: null,
    stripped: noSymbols,
    signed: null,
  };
}
