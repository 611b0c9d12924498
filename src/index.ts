/** The library: `createNode` starts a member of a network within your program. */
export type * from './api.ts'
export { formatNetworkKey, networkKeyWords, parseNetworkKey } from './format/network-key.ts'
export { inviteFactsIn } from './members/entering/invite.ts'
export { generateNetworkKey } from './members/founding.ts'
export { checkNodeOptions, createNode, isFirstStart } from './node/create.ts'
export { forgetNetworkKey, type KeystorePlace, readRecoveryWords } from './node/recovery.ts'
export { codeOf, DfsError, type ErrorCode, InvalidInputError } from './util/errors.ts'
export { debugLogger, reasonOf } from './util/logger.ts'
