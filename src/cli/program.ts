/** Which program this is: its package, and the commands that belong to the code that runs. */
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Interfaces } from '@oclif/core'

/** The folder that holds package.json, and the commands beside the code that runs now. */
export interface ProgramPlace {
  readonly root: string
  readonly commands: string
  /** False when Node runs the sources as they stand. */
  readonly built: boolean
}

/** `dist/commands` when this is the built program, `commands` when it runs from its sources. */
export function findProgram(moduleUrl: string): ProgramPlace {
  const built = moduleUrl.endsWith('.js')
  const root = fileURLToPath(new URL(built ? '../../../' : '../../', moduleUrl))
  return { root, commands: built ? './dist/commands' : './commands', built }
}

export async function readPackage(root: string): Promise<Interfaces.PJSON> {
  return JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as Interfaces.PJSON
}

/** package.json as oclif shall see it: with the commands that belong to the code that runs now. */
export async function packageForOclif(place: ProgramPlace): Promise<Interfaces.PJSON> {
  const pjson = await readPackage(place.root)
  return { ...pjson, oclif: { ...pjson.oclif, commands: place.commands } }
}

export interface CommandFile {
  /** `repl:status` */
  readonly id: string
  readonly url: string
  /** The words after the command's name. */
  readonly rest: readonly string[]
}

/** The command whose name begins `argv`; the longest name wins. */
export function findCommandFile(
  place: ProgramPlace,
  argv: readonly string[],
): CommandFile | undefined {
  const end = argv.findIndex((word) => !/^[a-z]+$/.test(word))
  const longest = end === -1 ? argv.length : end
  const extension = place.built ? '.js' : '.ts'
  for (let length = Math.min(longest, commandWordsMax); length > 0; length--) {
    const words = argv.slice(0, length)
    const path = `${join(place.root, place.commands, ...words)}${extension}`
    if (!existsSync(path)) continue
    return { id: words.join(':'), url: pathToFileURL(path).href, rest: argv.slice(length) }
  }
  return undefined
}

const commandWordsMax = 4
