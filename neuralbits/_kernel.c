/* The C kernel as a Python module, under the stable ABI: one wheel for every Python from 3.11 on.
 *
 * It hands texts over and takes answers back. Python's lock is held for that alone: while the kernel
 * works, other threads run. */

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdlib.h>
#include <string.h>

#include "neuralbits.h"

/* ---- Texts, as UTF-8 ------------------------------------------------------------------------------- */

typedef struct {
    PyObject *owners; /* a list of what holds the bytes: the strings, or bytes */
    const char **texts;
    size_t *lengths;
    Py_ssize_t count;
    size_t longest;
} batch;

static void batch_free(batch *b)
{
    Py_CLEAR(b->owners);
    PyMem_Free(b->texts);
    PyMem_Free(b->lengths);
}

/* Take the text at a place; 0 with an exception if it is none. */
static int batch_text(batch *b, Py_ssize_t place)
{
    PyObject *text = PyList_GetItem(b->owners, place); /* borrowed */
    Py_ssize_t length;
    char *bytes;
    if (!PyUnicode_Check(text)) {
        PyErr_Format(PyExc_TypeError, "text %zd isn't a string", place);
        return 0;
    }
    b->texts[place] = PyUnicode_AsUTF8AndSize(text, &length);
    if (!b->texts[place]) { /* a lone surrogate, which the kernel reads as U+FFFD */
        PyErr_Clear();
        text = PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass");
        if (!text || PyList_SetItem(b->owners, place, text) ||
            PyBytes_AsStringAndSize(text, &bytes, &length))
            return 0;
        b->texts[place] = bytes;
    }
    b->lengths[place] = (size_t)length;
    if (b->longest < b->lengths[place])
        b->longest = b->lengths[place];
    return 1;
}

static int batch_take(batch *b, PyObject *texts)
{
    Py_ssize_t place;
    memset(b, 0, sizeof *b);
    b->owners = PySequence_List(texts);
    if (!b->owners)
        return 0;
    b->count = PyList_Size(b->owners);
    b->texts = PyMem_Calloc((size_t)b->count, sizeof *b->texts);
    b->lengths = PyMem_Calloc((size_t)b->count, sizeof *b->lengths);
    if (!b->texts || !b->lengths)
        PyErr_NoMemory();
    for (place = 0; !PyErr_Occurred() && place < b->count; place++)
        batch_text(b, place);
    if (PyErr_Occurred())
        batch_free(b);
    return b->owners != NULL;
}

/* ---- Answers --------------------------------------------------------------------------------------- */

#define TOGETHER 256 /* texts that are answered before Python's lock is taken again */

typedef struct {
    int32_t score;
    uint32_t intent;
} ranked;

typedef struct {
    double confidence;
    uint32_t intent;
} named;

typedef struct {
    PyObject_HEAD
    neuralbits_model model;
    Py_buffer file;
    PyObject *labels;          /* a tuple of strings */
    PyTypeObject *prediction;  /* prediction.py */
    PyTypeObject *intent;
} Model;

/* What answering takes: of one text, but for the last two. */
typedef struct {
    void *scratch;
    size_t scratch_size;
    int32_t *scores;
    double *probabilities;
    ranked *ranking;
    named *intents;          /* top_k for each of up to TOGETHER texts */
    unsigned char *in_scope; /* of as many texts */
} desk;

static void desk_free(desk *d)
{
    PyMem_Free(d->scratch);
    PyMem_Free(d->scores);
    PyMem_Free(d->probabilities);
    PyMem_Free(d->ranking);
    PyMem_Free(d->intents);
    PyMem_Free(d->in_scope);
}

static void too_long(const batch *b)
{
    PyErr_Format(PyExc_OverflowError, "a text of %zu bytes is longer than the kernel takes",
                 b->longest);
}

static int desk_take(desk *d, const neuralbits_model *model, const batch *b, size_t top_k)
{
    size_t intents = neuralbits_intents(model), together = (size_t)b->count;
    if (together > TOGETHER)
        together = TOGETHER;
    memset(d, 0, sizeof *d);
    d->scratch_size = neuralbits_scratch_size(model, b->longest);
    if (!d->scratch_size) {
        too_long(b);
        return 0;
    }
    d->scratch = PyMem_Malloc(d->scratch_size);
    d->scores = PyMem_Calloc(intents, sizeof *d->scores);
    d->probabilities = PyMem_Calloc(intents, sizeof *d->probabilities);
    d->ranking = PyMem_Calloc(intents, sizeof *d->ranking);
    d->intents = PyMem_Calloc(together * top_k, sizeof *d->intents);
    d->in_scope = PyMem_Calloc(together, 1);
    if (d->scratch && d->scores && d->probabilities && d->ranking && d->intents && d->in_scope)
        return 1;
    desk_free(d);
    PyErr_NoMemory();
    return 0;
}

static int by_score(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->intent < y->intent ? -1 : 1; /* the first of equals is the likelier one */
}

/* Answer text `place`, as the one numbered `number` on the desk. No Python here. */
static void answer(const neuralbits_model *model, const batch *b, Py_ssize_t place, desk *d,
                   size_t number, size_t top_k)
{
    uint32_t intents = neuralbits_intents(model), i;
    named *found = d->intents + number * top_k;
    neuralbits_answer best;
    neuralbits_score(model, b->texts[place], b->lengths[place], d->scratch, d->scratch_size,
                     d->scores, &best);
    neuralbits_probabilities(model, d->scores, d->probabilities);
    d->in_scope[number] = (unsigned char)best.in_scope;
    d->ranking[0].intent = best.intent;
    if (top_k > 1) {
        for (i = 0; i < intents; i++) {
            d->ranking[i].score = d->scores[i];
            d->ranking[i].intent = i;
        }
        qsort(d->ranking, intents, sizeof *d->ranking, by_score);
    }
    for (i = 0; i < top_k; i++) {
        found[i].intent = d->ranking[i].intent;
        found[i].confidence = d->probabilities[found[i].intent];
    }
}

/* Make an instance of a frozen dataclass, of the values of its fields; steals them, NULL if one is. */
static PyObject *instance(PyTypeObject *type, PyObject *const *names, PyObject **values, int count)
{
    PyObject *made = PyType_GenericAlloc(type, 0);
    int i;
    for (i = 0; i < count; i++) {
        if (!values[i] || (made && PyObject_GenericSetAttr(made, names[i], values[i])))
            Py_CLEAR(made);
        Py_XDECREF(values[i]);
    }
    if (made && PyObject_GC_IsTracked(made)) /* nothing that it holds can lead back to it */
        PyObject_GC_UnTrack(made);
    return made;
}

static PyObject *NAMES[4]; /* intent, confidence, in_scope, intents */

static PyObject *prediction(const Model *self, const desk *d, size_t number, size_t top_k)
{
    const named *found = d->intents + number * top_k;
    PyObject *values[4] = {NULL, NULL, NULL, PyTuple_New((Py_ssize_t)top_k)}; /* as NAMES has them */
    size_t i;
    for (i = 0; values[3] && i < top_k; i++) {
        PyObject *each[2], *made;
        each[0] = Py_NewRef(PyTuple_GetItem(self->labels, found[i].intent));
        each[1] = PyFloat_FromDouble(found[i].confidence);
        if (i == 0) {
            values[0] = Py_NewRef(each[0]);
            values[1] = Py_XNewRef(each[1]);
        }
        made = instance(self->intent, NAMES, each, 2);
        if (!made || PyTuple_SetItem(values[3], (Py_ssize_t)i, made))
            Py_CLEAR(values[3]);
    }
    values[2] = PyBool_FromLong(d->in_scope[number]);
    return instance(self->prediction, NAMES, values, 4);
}

PyDoc_STRVAR(classify_doc,
             "classify(texts, top_k)\n--\n\n"
             "Classify texts, each as if it were alone; a prediction for each.");

static PyObject *Model_classify(Model *self, PyObject *arguments)
{
    PyObject *texts, *result = NULL;
    Py_ssize_t top_k, start, place;
    batch b;
    desk d;
    if (!PyArg_ParseTuple(arguments, "On:classify", &texts, &top_k))
        return NULL;
    if (top_k < 1)
        return PyErr_Format(PyExc_ValueError, "top_k is %zd", top_k);
    if (top_k > (Py_ssize_t)neuralbits_intents(&self->model))
        top_k = (Py_ssize_t)neuralbits_intents(&self->model);
    if (!batch_take(&b, texts))
        return NULL;
    if (desk_take(&d, &self->model, &b, (size_t)top_k)) {
        result = PyList_New(b.count);
        for (start = 0; result && start < b.count; start += TOGETHER) {
            Py_ssize_t end = b.count - start < TOGETHER ? b.count : start + TOGETHER;
            Py_BEGIN_ALLOW_THREADS
            for (place = start; place < end; place++)
                answer(&self->model, &b, place, &d, (size_t)(place - start), (size_t)top_k);
            Py_END_ALLOW_THREADS
            for (place = start; result && place < end; place++) {
                PyObject *each = prediction(self, &d, (size_t)(place - start), (size_t)top_k);
                if (!each || PyList_SetItem(result, place, each))
                    Py_CLEAR(result);
            }
        }
        desk_free(&d);
    }
    batch_free(&b);
    return result;
}

PyDoc_STRVAR(scores_doc, "scores(texts)\n--\n\n"
                         "Score every intent for each text: N rows of C int32, as bytes.");

static PyObject *Model_scores(Model *self, PyObject *texts)
{
    size_t row = neuralbits_intents(&self->model) * sizeof(int32_t);
    PyObject *result = NULL;
    Py_ssize_t place;
    batch b;
    desk d;
    if (!batch_take(&b, texts))
        return NULL;
    if (desk_take(&d, &self->model, &b, 1)) {
        result = PyBytes_FromStringAndSize(NULL, b.count * (Py_ssize_t)row);
        if (result) {
            char *rows = PyBytes_AsString(result);
            Py_BEGIN_ALLOW_THREADS
            for (place = 0; place < b.count; place++) {
                neuralbits_answer best;
                neuralbits_score(&self->model, b.texts[place], b.lengths[place], d.scratch,
                                 d.scratch_size, d.scores, &best);
                memcpy(rows + (size_t)place * row, d.scores, row);
            }
            Py_END_ALLOW_THREADS
        }
        desk_free(&d);
    }
    batch_free(&b);
    return result;
}

PyDoc_STRVAR(scratch_size_doc,
             "scratch_size(longest_text)\n--\n\n"
             "How many bytes of scratch a text of at most so many bytes needs; 0 if none do.");

static PyObject *Model_scratch_size(Model *self, PyObject *longest_text)
{
    size_t bytes = PyLong_AsSize_t(longest_text);
    if (PyErr_Occurred())
        return NULL;
    return PyLong_FromSize_t(neuralbits_scratch_size(&self->model, bytes));
}

/* ---- Explaining ------------------------------------------------------------------------------------ */

/* Write bits as hexadecimal digits, the first bit as the highest of the first digit. */
static PyObject *hexadecimal(const uint64_t *bits, size_t count)
{
    size_t digits = (count + 3) / 4, i;
    char *text = PyMem_Calloc(digits + 1, 1);
    PyObject *result;
    if (!text)
        return PyErr_NoMemory();
    for (i = 0; i < digits; i++) {
        unsigned nibble = (unsigned)(bits[i / 16] >> 4 * (i % 16) & 15); /* none is set behind the last */
        nibble = (nibble & 5) << 1 | (nibble & 10) >> 1;
        nibble = (nibble & 3) << 2 | nibble >> 2;
        text[i] = "0123456789abcdef"[nibble];
    }
    result = PyUnicode_DecodeASCII(text, (Py_ssize_t)digits, NULL);
    PyMem_Free(text);
    return result;
}

/* Make the tuple of an n-gram's string, family from 0, and influence. */
static PyObject *influence(const neuralbits_explanation *e, const neuralbits_ngram *ngram)
{
    PyObject *first = PyUnicode_DecodeUTF8(e->tokens + ngram->start, ngram->bytes, NULL);
    PyObject *rest = PyUnicode_DecodeUTF8(e->tokens + ngram->rest, ngram->rest_bytes, NULL);
    PyObject *string = first && rest ? PyUnicode_Concat(first, rest) : NULL;
    Py_XDECREF(first);
    Py_XDECREF(rest);
    return string ? Py_BuildValue("Nkd", string, (unsigned long)ngram->family - 1, ngram->influence)
                  : NULL;
}

static PyObject *explanation(const neuralbits_model *model, const neuralbits_explanation *e)
{
    size_t each = model->blocks ? (size_t)1 << model->dimensions : model->dimensions;
    size_t bits = model->kept * each, words = (bits + 63) / 64;
    PyObject *ngrams = PyList_New(e->ngram_count);
    uint32_t i;
    for (i = 0; ngrams && i < e->ngram_count; i++) {
        PyObject *made = influence(e, e->ngrams + i);
        if (!made || PyList_SetItem(ngrams, i, made))
            Py_CLEAR(ngrams);
    }
    if (!ngrams)
        return NULL;
    return Py_BuildValue("NNknN", hexadecimal(e->bits, bits),
                         hexadecimal(e->bits + words, model->code_bits == 2 ? bits : 0),
                         (unsigned long)model->kept, (Py_ssize_t)each, ngrams);
}

PyDoc_STRVAR(explain_doc,
             "explain(text)\n--\n\n"
             "Explain a text: its first and its second bits in hexadecimal digits, the functions, the\n"
             "bits of each, and the n-grams, each as a tuple of its string, its family from 0 and its\n"
             "influence. None if it has too many n-grams.");

static PyObject *Model_explain(Model *self, PyObject *text)
{
    PyObject *texts = PyTuple_Pack(1, text), *result = NULL;
    neuralbits_explanation found;
    neuralbits_status status;
    size_t scratch_size;
    void *scratch;
    batch b;
    if (!texts || !batch_take(&b, texts)) {
        Py_XDECREF(texts);
        return NULL;
    }
    scratch_size = neuralbits_explain_scratch_size(&self->model, b.longest);
    scratch = scratch_size ? PyMem_Malloc(scratch_size) : NULL;
    if (!scratch_size) {
        too_long(&b);
    } else if (!scratch) {
        PyErr_NoMemory();
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = neuralbits_explain(&self->model, b.texts[0], b.lengths[0], scratch, scratch_size,
                                    &found);
        Py_END_ALLOW_THREADS
        result = status == NEURALBITS_OK ? explanation(&self->model, &found) : Py_NewRef(Py_None);
    }
    PyMem_Free(scratch);
    batch_free(&b);
    Py_DECREF(texts);
    return result;
}

/* ---- Projecting for training ----------------------------------------------------------------------- */

/* Project texts, given as features, one text after another. No Python here. */
static neuralbits_status project_all(const neuralbits_model *model, const uint32_t *features,
                                     const int64_t *counts, size_t texts, void *scratch,
                                     size_t scratch_size, uint64_t *bits, size_t words)
{
    neuralbits_status status = NEURALBITS_OK;
    size_t text;
    for (text = 0; text < texts && status == NEURALBITS_OK; text++) {
        status = neuralbits_project_features(model, features, (size_t)counts[text], scratch,
                                             scratch_size, bits + text * words);
        features += counts[text];
    }
    return status;
}

PyDoc_STRVAR(project_doc,
             "project(settings, features, counts)\n--\n\n"
             "Project texts by their features.\n\n"
             "Args:\n"
             "    settings: the projection's, as the file's JSON.\n"
             "    features: uint32, those of one text after another.\n"
             "    counts: int64, how many each of N texts has.\n\n"
             "Returns:\n"
             "    N rows of uint64 words: of the first bits, then of the second ones, if there are two.");

static PyObject *project(PyObject *module, PyObject *arguments)
{
    Py_buffer settings, features, counts;
    neuralbits_model model;
    PyObject *result = NULL;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*y*y*:project", &settings, &features, &counts))
        return NULL;
    if (neuralbits_open_projection(&model, settings.buf, (size_t)settings.len) != NEURALBITS_OK) {
        PyErr_SetString(PyExc_ValueError, "these are no settings of a projection");
    } else {
        size_t texts = (size_t)counts.len / sizeof(int64_t), text, most = 0, total = 0;
        size_t inputs = (size_t)model.kept *
                        (model.blocks ? (size_t)1 << model.dimensions : model.dimensions);
        size_t words = (inputs + 63) / 64 * model.code_bits, scratch_size;
        const int64_t *each = counts.buf;
        for (text = 0; text < texts; text++) {
            most = (size_t)each[text] > most ? (size_t)each[text] : most;
            total += (size_t)each[text];
        }
        scratch_size = neuralbits_scratch_size(&model, most / NEURALBITS_MAX_FEATURES_PER_BYTE + 1);
        if (total != (size_t)features.len / sizeof(uint32_t) || most > total || !scratch_size) {
            PyErr_SetString(PyExc_ValueError, "there are other features than were counted");
        } else {
            void *scratch = PyMem_Malloc(scratch_size);
            result = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(texts * words * sizeof(uint64_t)));
            if (!scratch && result) {
                Py_CLEAR(result);
                PyErr_NoMemory();
            } else if (result) {
                uint64_t *bits = (uint64_t *)(void *)PyBytes_AsString(result);
                neuralbits_status status;
                Py_BEGIN_ALLOW_THREADS
                status = project_all(&model, features.buf, each, texts, scratch, scratch_size, bits,
                                     words);
                Py_END_ALLOW_THREADS
                if (status != NEURALBITS_OK) {
                    Py_CLEAR(result);
                    PyErr_SetString(PyExc_ValueError, "a text has too many features");
                }
            }
            PyMem_Free(scratch);
        }
    }
    PyBuffer_Release(&settings);
    PyBuffer_Release(&features);
    PyBuffer_Release(&counts);
    return result;
}

/* ---- The type -------------------------------------------------------------------------------------- */

static PyObject *Model_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    PyObject *file, *labels, *prediction_type, *intent_type;
    neuralbits_status status;
    Model *self;
    if (keywords && PyDict_Size(keywords)) {
        PyErr_SetString(PyExc_TypeError, "Model takes no keywords");
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "SO!O!O!:Model", &file, &PyTuple_Type, &labels, &PyType_Type,
                          &prediction_type, &PyType_Type, &intent_type))
        return NULL;
    self = (Model *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->labels = Py_NewRef(labels);
    self->prediction = (PyTypeObject *)Py_NewRef(prediction_type);
    self->intent = (PyTypeObject *)Py_NewRef(intent_type);
    if (PyObject_GetBuffer(file, &self->file, PyBUF_SIMPLE)) {
        Py_DECREF(self);
        return NULL;
    }
    status = neuralbits_open(&self->model, self->file.buf, (size_t)self->file.len);
    if (status != NEURALBITS_OK)
        PyErr_SetString(PyExc_ValueError, neuralbits_status_text(status));
    else if (PyTuple_Size(labels) != (Py_ssize_t)neuralbits_intents(&self->model))
        PyErr_Format(PyExc_ValueError, "%zd labels for %u intents", PyTuple_Size(labels),
                     (unsigned)neuralbits_intents(&self->model));
    if (PyErr_Occurred())
        Py_CLEAR(self);
    return (PyObject *)self;
}

static void Model_dealloc(Model *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    if (self->file.obj)
        PyBuffer_Release(&self->file);
    Py_XDECREF(self->labels);
    Py_XDECREF((PyObject *)self->prediction);
    Py_XDECREF((PyObject *)self->intent);
    release(self);
    Py_DECREF(type);
}

static PyMethodDef Model_methods[] = {
    {"classify", (PyCFunction)(void (*)(void))Model_classify, METH_VARARGS, classify_doc},
    {"scores", (PyCFunction)(void (*)(void))Model_scores, METH_O, scores_doc},
    {"scratch_size", (PyCFunction)(void (*)(void))Model_scratch_size, METH_O, scratch_size_doc},
    {"explain", (PyCFunction)(void (*)(void))Model_explain, METH_O, explain_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot Model_slots[] = {
    {Py_tp_doc, "An artifact's bytes, its labels, and the types of its answers."},
    {Py_tp_new, (void *)Model_new},
    {Py_tp_dealloc, (void *)Model_dealloc},
    {Py_tp_methods, Model_methods},
    {0, NULL},
};

static PyType_Spec Model_spec = {
    "neuralbits._kernel.Model", sizeof(Model), 0, Py_TPFLAGS_DEFAULT, Model_slots,
};

static PyMethodDef functions[] = {
    {"project", project, METH_VARARGS, project_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "neuralbits._kernel", "The C kernel.", -1, functions, NULL, NULL, NULL,
    NULL,
};

PyMODINIT_FUNC PyInit__kernel(void)
{
    static const char *const names[] = {"intent", "confidence", "in_scope", "intents"};
    PyObject *made = PyModule_Create(&module), *type = PyType_FromSpec(&Model_spec);
    size_t i;
    for (i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!NAMES[i] && !(NAMES[i] = PyUnicode_InternFromString(names[i])))
            Py_CLEAR(made);
    if (!made || !type || PyModule_AddObjectRef(made, "Model", type))
        Py_CLEAR(made);
    Py_XDECREF(type);
    return made;
}
