/* config_flags - the command line and the environment (config.h gives the naming). */
#include "config/config_engine.h"

#include <stdlib.h>
#include <strings.h>

typedef struct {
    int argc;
    char *const *argv;
    int at; /* the next argument to read */
} arguments_t;

/* The typed name means the flag: in any case and with _ for -, but for single letters. */
static bool s_matches (kv_slice_t typed, const char *flag)
{
    if (!flag || typed.size != strlen (flag))
        return false;
    if (flag[1] != '-')
        return memcmp (typed.data, flag, typed.size) == 0;
    for (size_t i = 0; i < typed.size; i++) {
        int a = config_lower (typed.data[i]);
        int b = config_lower (flag[i]);
        if (a != b && !(a == '_' && b == '-' && i > 1))
            return false;
    }
    return true;
}

static config_entry_t *s_find (config_t *self, kv_slice_t typed)
{
    for (size_t i = 0; i < self->entry_count; i++) {
        config_entry_t *entry = &self->entries[i];
        if (s_matches (typed, entry->flag) || s_matches (typed, entry->alias))
            return entry;
    }
    return NULL;
}

/* Offers a flag without its dashes, so that they do not count as a likeness. */
static void s_offer (config_nearest_t *nearest, const char *flag)
{
    if (flag)
        config_nearest_offer (nearest, flag + (flag[1] == '-' ? 2 : 1), flag);
}

static kv_status_t s_unknown (config_t *self, kv_slice_t typed)
{
    kv_slice_t bare = typed;
    while (bare.size > 0 && bare.data[0] == '-')
        bare = kv_slice (bare.data + 1, bare.size - 1);
    config_nearest_t nearest = config_nearest (bare);
    for (size_t i = 0; i < self->entry_count; i++) {
        s_offer (&nearest, self->entries[i].flag);
        s_offer (&nearest, self->entries[i].alias);
    }
    s_offer (&nearest, "--help");
    s_offer (&nearest, "--version");
    config_shown_t shown = config_shown (typed);
    config_spot_t spot = {shown.text, 0, 0};
    if (nearest.best)
        return config_fail (self, spot, "unknown flag; did you mean %s?", nearest.best);
    return config_fail (self, spot, "unknown flag; --help lists those that are allowed");
}

/* The value of the flag: after its =, the next argument, or "true" for a boolean alone. */
static kv_status_t s_value (config_t *self, const config_entry_t *entry, const char *name,
                            arguments_t *arguments, const char **value)
{
    if (*value)
        return KV_OK;
    if (entry->row->type == KV_OPTION_BOOL) {
        *value = "true";
        return KV_OK;
    }
    bool missing = arguments->at == arguments->argc;
    if (!missing && strncmp (arguments->argv[arguments->at], "--", 2) != 0) {
        *value = arguments->argv[arguments->at++];
        return KV_OK;
    }
    config_text_t allowed = {0};
    config_value_allowed (entry->row, &allowed);
    config_fail (self, (config_spot_t){name, 0, 0}, "the value is missing; allowed is %s%s",
                 allowed.data, missing ? "" : " (after = if it begins with --)");
    free (allowed.data);
    return KV_CONFIG;
}

/* One flag; it stands at arguments->at. */
static kv_status_t s_flag (config_t *self, arguments_t *arguments)
{
    const char *argument = arguments->argv[arguments->at++];
    size_t size = strcspn (argument, "=");
    const char *value = argument[size] == '=' ? argument + size + 1 : NULL;
    kv_slice_t typed = kv_slice (argument, size);
    config_entry_t *entry = s_find (self, typed);
    if (s_matches (typed, "--help"))
        self->wants_help = true;
    else if (s_matches (typed, "--version"))
        self->wants_version = true;
    else if (!entry)
        return s_unknown (self, typed);
    if (!entry)
        return KV_OK;
    const char *name = s_matches (typed, entry->flag) ? entry->flag : entry->alias;
    kv_status_t status = s_value (self, entry, name, arguments, &value);
    if (status != KV_OK)
        return status;
    config_setting_t setting = {entry->row, "", {name, 0, 0}, NULL};
    return config_set_entry (self, entry, CONFIG_FLAG, &setting, kv_slice_text (value));
}

kv_status_t config_flags (config_t *self, int argc, char *const *argv, int *operand)
{
    arguments_t arguments = {argc, argv, 1};
    kv_status_t status = self->error ? KV_CONFIG : KV_OK;
    if (operand)
        *operand = argc;
    while (status == KV_OK && arguments.at < argc) {
        const char *argument = argv[arguments.at];
        if (argument[0] != '-' || argument[1] == '\0')
            break;
        if (strcmp (argument, "--") == 0) {
            arguments.at++;
            break;
        }
        status = s_flag (self, &arguments);
        if (self->wants_help || self->wants_version)
            return status;
    }
    if (status == KV_OK && !operand && arguments.at < argc) {
        config_shown_t shown = config_shown (kv_slice_text (argv[arguments.at]));
        return config_fail (self, (config_spot_t){shown.text, 0, 0},
                            "unexpected argument; allowed are flags, which --help lists");
    }
    if (operand && arguments.at < argc)
        *operand = arguments.at;
    return status;
}

bool config_wants_help (const config_t *self)
{
    return self->wants_help;
}

bool config_wants_version (const config_t *self)
{
    return self->wants_version;
}

/* The variable's value in the environment, or NULL. */
static const char *s_variable (char *const *environment, const char *name)
{
    size_t size = strlen (name);
    for (; *environment; environment++) {
        if (strncmp (*environment, name, size) == 0 && (*environment)[size] == '=')
            return *environment + size + 1;
    }
    return NULL;
}

kv_status_t config_environment (config_t *self, char *const *environment)
{
    kv_status_t status = self->error ? KV_CONFIG : KV_OK;
    for (size_t i = 0; status == KV_OK && i < self->entry_count; i++) {
        config_entry_t *entry = &self->entries[i];
        const char *value = entry->variable ? s_variable (environment, entry->variable) : NULL;
        if (!value)
            continue;
        config_setting_t setting = {entry->row, "", {entry->variable, 0, 0}, NULL};
        status =
            config_set_entry (self, entry, CONFIG_ENVIRONMENT, &setting, kv_slice_text (value));
    }
    return status;
}
