/** What the traced program writes, and what it was told of it. */
export const segmentBytes = 256 * 1024
export const writers = 4
export const keysEach = 3

/** Mostly small, some in several chunks. */
export function sizeOf(content: number): number {
  return content % 8 === 0 ? 40_000 + (content % 90_000) : (content * 37) % 6000
}

/** Number of a content; 0 for none. */
type Content = number

interface Key {
  answered: Content
  /** Begun since, and not answered. */
  readonly begun: Set<Content>
}

/** What every object may be, as the program says what it does. */
export class Told {
  readonly #keys = new Map<string, Key>()

  constructor(known: ReadonlyMap<string, Content> = new Map()) {
    for (let writer = 0; writer < writers; writer++) {
      for (let key = 0; key < keysEach; key++) {
        const name = `${writer}/${key}`
        this.#keys.set(name, { answered: known.get(name) ?? 0, begun: new Set() })
      }
    }
  }

  /** A line of the program. */
  hear(line: string): void {
    const [what, name = '', number] = line.split(' ')
    const key = this.#keys.get(name)
    if (key === undefined) throw new Error(`the program says ${line}`)
    if (what === 'begun') {
      key.begun.add(Number(number))
      return
    }
    key.answered = Number(number)
    key.begun.clear()
  }

  get keys(): readonly string[] {
    return [...this.#keys.keys()]
  }

  /** What may be there under a key. */
  mayBe(name: string): readonly Content[] {
    const key = this.#keys.get(name)
    return key === undefined ? [] : [key.answered, ...key.begun]
  }
}
