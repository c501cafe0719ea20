/** The entries of `auth.tokens` and `replication.accept_tokens`: a token, its hash or its file. */
import { z } from 'zod'
import { path, secretOrHash, textAs, tokenWords } from './schema-parts.ts'
import type { TokenRole } from './tokens.ts'

const tokenName = () =>
  textAs('a name of 1 to 64 letters, digits, dots, hyphens and underscores', (text) =>
    /^[\w.-]{1,64}$/.test(text) ? text : undefined,
  )

const timePattern = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?Z$/
const timeWords = 'must be a time such as 2027-01-31T00:00:00Z'

const time = () =>
  z.string({ error: timeWords }).transform((text, context) => {
    const ms = timePattern.test(text.trim()) ? Date.parse(text.trim()) : Number.NaN
    if (!Number.isNaN(ms)) return ms
    context.addIssue({ code: 'custom', message: timeWords })
    return z.NEVER
  })

const source = () => ({
  token: secretOrHash().optional(),
  token_file: path().optional(),
  expires: time().optional(),
})

const oneSource = 'must be there, or token_file must, and not both'

interface ParsedSource {
  readonly token?: string | undefined
  readonly token_file?: string | undefined
  readonly expires?: number | undefined
}

function hasOneSource({ token, token_file }: ParsedSource): boolean {
  return (token === undefined) !== (token_file === undefined)
}

/** What is in the file is not known yet: then the token is empty. */
function sourceOf(entry: ParsedSource) {
  const { token = '', token_file: tokenFile, expires } = entry
  return {
    token,
    ...(tokenFile === undefined ? {} : { tokenFile }),
    ...(expires === undefined ? {} : { expires }),
  }
}

const entryForm = 'must have the fields name, role and token'

export const authToken = (role: z.ZodType<TokenRole>) =>
  z
    .strictObject(
      { name: tokenName(), role, ...source() },
      { error: (issue) => (issue.code === 'invalid_type' ? entryForm : undefined) },
    )
    .refine(hasOneSource, { path: ['token'], message: oneSource })
    .transform((entry) => ({ name: entry.name, role: entry.role, ...sourceOf(entry) }))

const acceptEntry = () =>
  z
    .strictObject(
      { name: tokenName().optional(), ...source() },
      { error: (issue) => (issue.code === 'invalid_type' ? `must be ${tokenWords}` : undefined) },
    )
    .refine(hasOneSource, { path: ['token'], message: oneSource })
    .transform((entry) => ({
      ...(entry.name === undefined ? {} : { name: entry.name }),
      ...sourceOf(entry),
    }))

/** A token alone, or with a name and the rest. */
export const acceptToken = () =>
  z.unknown().transform((value, context) => {
    const schema = typeof value === 'string' ? secretOrHash() : acceptEntry()
    const parsed = schema.safeParse(value)
    if (parsed.success) return parsed.data
    for (const issue of parsed.error.issues) context.addIssue({ ...issue })
    return z.NEVER
  })
