/** Results go to stdout, everything else to stderr: a pipe never carries a remark. */
import { styleText } from 'node:util'

export function writeResult(text: string): void {
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

export function writeJson(value: unknown): void {
  writeResult(JSON.stringify(value, null, 2))
}

export function writeNote(text: string): void {
  process.stderr.write(text.endsWith('\n') ? text : `${text}\n`)
}

export function writeWarning(text: string): void {
  writeNote(`${paint('yellow', 'warning:', process.stderr)} ${text}`)
}

export type Paint = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan'

/** Colour where a person looks: `styleText` honours NO_COLOR and a stream that is no terminal. */
export function paint(
  style: Paint,
  text: string,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return styleText(style, text, { stream, validateStream: true })
}
