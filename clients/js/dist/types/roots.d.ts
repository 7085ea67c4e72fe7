/**
 * The pinned roots of trust, by SHA-256 of the certificate's DER bytes.
 *
 * Only the fingerprint is kept: the certificate itself comes with every document, and counts only if it matches.
 */
/** Evidence of QEMU's `nitro-enclave` machine, which signs nothing (emulated.ts). No root vouches for it. */
export declare const EMULATED = "qemu-nitro-enclave";
declare const KINDS: readonly ["nitro", "simulated", "qemu-nitro-enclave"];
/** What evidence shows: Nitro hardware, that some machine signed it itself, or QEMU's machine, which signs nothing. */
export type EvidenceKind = (typeof KINDS)[number];
export declare function isEvidenceKind(value: unknown): value is EvidenceKind;
/** CN=aws.nitro-enclaves, P-384, 2019-10-28 to 2049-10-28. China and GovCloud have roots of their own. */
export declare const AWS_NITRO_ROOT_G1 = "641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b";
/** SHA-256 values that get pinned by mistake. The first is the one that AWS's documentation prints. */
export declare const NOT_FINGERPRINTS: ReadonlyMap<string, string>;
/** Common name of every simulated root, so that listing one as genuine is noticed. */
export declare const SIMULATED_ROOT_NAME = "blindsight.simulated";
export {};
