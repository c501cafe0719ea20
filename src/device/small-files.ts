/** The few small texts that belong to a volume and are neither log nor index, such as its role. */
import { join } from 'node:path'
import { readSmallFile, replaceSmallFile } from './durable-file.ts'

export interface SmallFiles {
  /** For messages: where somebody finds it. */
  where(name: string): string
  /** Undefined when there is none. */
  read(name: string): Promise<string | undefined>
  /** Durable once resolved; after a crash there is the old one or the new one. */
  replace(name: string, text: string): Promise<void>
}

/** In a folder, each in a file of its name. One writer of each at a time. */
export class FolderFiles implements SmallFiles {
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  where(name: string): string {
    return join(this.#folder, name)
  }

  read(name: string): Promise<string | undefined> {
    return readSmallFile(this.where(name))
  }

  replace(name: string, text: string): Promise<void> {
    return replaceSmallFile(this.where(name), text)
  }
}
