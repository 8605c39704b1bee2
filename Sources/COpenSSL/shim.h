#pragma once
#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <string.h>

/* OpenSSL is largely macros, which Swift does not see. Each function here is one macro, or the few that belong
   together; nothing is decided here that a reader of MeshTLS needs to know, except in mesh_ctx_harden. */

/* What every context has: no compression, no renegotiation, buffers given back between records, and never a search
   for the issuers of our own certificate at handshake time: the chain is what the user configured. */
static inline void mesh_ctx_harden(SSL_CTX *ctx) {
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
}

static inline int mesh_ctx_set_min_version(SSL_CTX *ctx, int version) {
    return (int)SSL_CTX_set_min_proto_version(ctx, version);
}

/* 0 is "the highest that OpenSSL speaks". */
static inline int mesh_ctx_set_max_version(SSL_CTX *ctx, int version) {
    return (int)SSL_CTX_set_max_proto_version(ctx, version);
}

static inline int mesh_ctx_set_groups(SSL_CTX *ctx, const char *names) {
    return (int)SSL_CTX_set1_groups_list(ctx, names);
}

static inline int mesh_ctx_add_chain(SSL_CTX *ctx, X509 *issuer) { return (int)SSL_CTX_add1_chain_cert(ctx, issuer); }

static inline void mesh_ctx_set_cache(SSL_CTX *ctx, int client) {
    SSL_CTX_set_session_cache_mode(
        ctx, client ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL : SSL_SESS_CACHE_OFF);
}

static inline void mesh_ctx_on_server_name(SSL_CTX *ctx, int (*callback)(SSL *, int *, void *), void *argument) {
    SSL_CTX_set_tlsext_servername_callback(ctx, callback);
    SSL_CTX_set_tlsext_servername_arg(ctx, argument);
}

static inline void mesh_ctx_on_status(SSL_CTX *ctx, int (*callback)(SSL *, void *), void *argument) {
    SSL_CTX_set_tlsext_status_cb(ctx, callback);
    SSL_CTX_set_tlsext_status_arg(ctx, argument);
}

/* Gives the connection a copy of the stapled OCSP response. */
static inline int mesh_set_staple(SSL *ssl, const void *bytes, size_t count) {
    void *copy = OPENSSL_memdup(bytes, count);
    return copy && SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)count) == 1;
}

static inline int mesh_request_staple(SSL *ssl) {
    return (int)SSL_set_tlsext_status_type(ssl, TLSEXT_STATUSTYPE_ocsp);
}

/* Length of the stapled response that the server sent, -1 for none. */
static inline long mesh_staple(SSL *ssl, const unsigned char **bytes) {
    return SSL_get_tlsext_status_ocsp_resp(ssl, bytes);
}

static inline int mesh_set_server_name(SSL *ssl, const char *name) { return (int)SSL_set_tlsext_host_name(ssl, name); }

static inline void mesh_bio_want_read(BIO *bio) { BIO_set_retry_read(bio); }
static inline void mesh_bio_clear_want(BIO *bio) { BIO_clear_retry_flags(bio); }

static inline long mesh_bio_memory(BIO *bio, const char **bytes) { return BIO_get_mem_data(bio, bytes); }

/* `CN=shop,O=Example` */
static inline void mesh_print_name(BIO *out, const X509_NAME *name) {
    X509_NAME_print_ex(out, name, 0, XN_FLAG_RFC2253);
}

static inline int mesh_names_count(const GENERAL_NAMES *names) { return sk_GENERAL_NAME_num(names); }

/* One subject alternative name as its type (GEN_DNS, GEN_URI, GEN_IPADD, ...) and its bytes. */
static inline int mesh_names_get(const GENERAL_NAMES *names, int index, const unsigned char **bytes, int *count) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, index);
    if (name->type != GEN_DNS && name->type != GEN_URI && name->type != GEN_IPADD && name->type != GEN_EMAIL) {
        *count = 0;
        return name->type;
    }
    const ASN1_STRING *text = name->type == GEN_IPADD ? name->d.iPAddress : name->d.ia5;
    *bytes = ASN1_STRING_get0_data(text);
    *count = ASN1_STRING_length(text);
    return name->type;
}

/* Readies the cipher and the MAC of one session ticket (RFC 5077 §4: AES-256-CBC, then HMAC-SHA256). */
static inline int mesh_ticket_begin(EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, const EVP_CIPHER *algorithm,
                                    const unsigned char *key /* 32 bytes AES, 32 bytes HMAC */,
                                    const unsigned char *iv, int encrypt) {
    char digest[] = "SHA256";
    OSSL_PARAM parameters[3] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(key + 32), 32),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, parameters) && EVP_CipherInit_ex2(cipher, algorithm, key, iv, encrypt, NULL);
}

/* 16 KiB per thread in which small writes are gathered into one record. */
static inline unsigned char *mesh_scratch(void) {
    static _Thread_local unsigned char scratch[16384];
    return scratch;
}

static inline EVP_PKEY *mesh_generate_p256(void) { return EVP_EC_gen("P-256"); }

/* Adds subject alternative names, in the form of x509v3_config(5), to a signing request. */
static inline int mesh_request_add_names(X509_REQ *request, const char *names) {
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    STACK_OF(X509_EXTENSION) *all = sk_X509_EXTENSION_new_null();
    int result = extension && all && sk_X509_EXTENSION_push(all, extension) > 0 && X509_REQ_add_extensions(request, all);
    sk_X509_EXTENSION_free(all);
    X509_EXTENSION_free(extension);
    return result;
}

static inline int mesh_certificates_count(const STACK_OF(X509) *list) { return list ? sk_X509_num(list) : 0; }
static inline X509 *mesh_certificates_get(const STACK_OF(X509) *list, int index) { return sk_X509_value(list, index); }

/* X509_V_OK if `leaf` leads to a certificate of `store`, by way of some of `issuers`; else why not. */
static inline int mesh_verify(X509_STORE *store, X509 *leaf, X509 *const *issuers, int count, int purpose,
                              unsigned long flags) {
    int result = X509_V_ERR_OUT_OF_MEM;
    STACK_OF(X509) *list = sk_X509_new_null();
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    int ready = list && verification;
    for (int index = 0; ready && index < count; index++) ready = sk_X509_push(list, issuers[index]) > 0;
    if (ready && X509_STORE_CTX_init(verification, store, leaf, list)) {
        if (purpose) X509_STORE_CTX_set_purpose(verification, purpose);
        X509_STORE_CTX_set_flags(verification, flags);
        result = X509_verify_cert(verification) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(verification);
    }
    X509_STORE_CTX_free(verification);
    sk_X509_free(list);
    return result;
}
