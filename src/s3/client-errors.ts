import { ComioError } from '../base/errors.ts'

/** The site answered, and said no. */
export class S3ResponseError extends ComioError {
  readonly code = 'S3_REQUEST_REFUSED'
  readonly status: number
  /** The code of S3's error document (`NoSuchKey`), or undefined when the answer had none. */
  readonly s3Code: string | undefined
  readonly requestId: string | undefined

  constructor(request: string, answer: S3ErrorAnswer) {
    const said = answer.s3Code === undefined ? '' : ` ${answer.s3Code}`
    const detail = answer.message === undefined ? '' : `: ${answer.message}`
    super(`${request} was answered with ${answer.status}${said}${detail}`, {
      ...hintFor(answer.status),
      facts: { status: answer.status, s3_code: answer.s3Code, request_id: answer.requestId },
    })
    this.status = answer.status
    this.s3Code = answer.s3Code
    this.requestId = answer.requestId
  }
}

export interface S3ErrorAnswer {
  readonly status: number
  readonly s3Code: string | undefined
  readonly message: string | undefined
  readonly requestId: string | undefined
}

/** No answer came, or it broke off. */
export class S3UnreachableError extends ComioError {
  readonly code = 'S3_UNREACHABLE'
}

/** An answer came that ComIO does not give: perhaps something else listens at that address. */
export class S3AnswerError extends ComioError {
  readonly code = 'S3_ANSWER_NOT_UNDERSTOOD'
}

/** The address is none that this client can talk to. */
export class S3AddressError extends ComioError {
  readonly code = 'S3_BAD_ADDRESS'
}

function hintFor(status: number): { readonly hint?: string } {
  if (status === 401 || status === 403) return { hint: 'check the token given for this site' }
  if (status === 507) return { hint: 'the site is full: delete something or give it more space' }
  if (status >= 300 && status < 400) return { hint: 'use the address of the site itself' }
  return {}
}
