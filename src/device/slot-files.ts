/** The small files of a slot device: all of them in one frame, as JSON. */
import { CorruptDeviceError, SmallFilesFullError } from './errors.ts'
import { frameHeaderBytes, type TwinFrame } from './slot-frame.ts'
import type { SmallFiles } from './small-files.ts'

export class SlotFiles implements SmallFiles {
  readonly #device: string
  readonly #frame: TwinFrame
  readonly #room: number
  #texts: ReadonlyMap<string, string>

  /** Over a frame that is loaded. @throws CorruptDeviceError */
  constructor(device: string, frame: TwinFrame, frameBytes: number) {
    this.#device = device
    this.#frame = frame
    this.#room = frameBytes - frameHeaderBytes
    this.#texts = decode(device, frame.payload)
  }

  where(name: string): string {
    return `${name} in ${this.#device}`
  }

  async read(name: string): Promise<string | undefined> {
    return this.#texts.get(name)
  }

  /** @throws SmallFilesFullError */
  async replace(name: string, text: string): Promise<void> {
    let next = this.#texts
    const make = (): Buffer => {
      next = new Map([...this.#texts, [name, text]])
      const bytes = Buffer.from(JSON.stringify(Object.fromEntries(next)))
      if (bytes.length > this.#room) throw new SmallFilesFullError(this.#device, name, this.#room)
      return bytes
    }
    await this.#frame.replace(make, () => {
      this.#texts = next
    })
  }
}

function decode(device: string, payload: Buffer | undefined): ReadonlyMap<string, string> {
  if (payload === undefined) return new Map()
  const texts: unknown = JSON.parse(payload.toString('utf8'))
  const entries = Object.entries(Object(texts))
  const isText = (entry: [string, unknown]): entry is [string, string] =>
    typeof entry[1] === 'string'
  if (entries.every(isText)) return new Map(entries)
  throw new CorruptDeviceError(device, 'its small files are not what ComIO wrote')
}
